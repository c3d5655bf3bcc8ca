//! Routes that the configuration makes: paths and methods to functions, and folders of files.
//!
//! A route to a function named `http` passes whole requests and responses ([`super::pass`]); to any
//! other it makes arguments of the path, the query and the body. Katamari's own paths come first,
//! unless there is nothing but routes.

use super::body::{self, Body};
use super::given::{self, Given, decoded};
use super::incoming::Incoming;
use super::pass;
use super::problem::Problem;
use super::upload::{self, Reader};
use super::{call, door};
use crate::arguments::of_json;
use crate::desk::{Desk, Target};
use crate::guard::Principal;
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::Code;
use http::header::LOCATION;
use http::{HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body_util::BodyExt;
use matchit::Params;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tower_http::services::ServeDir;

/// Routes of one faceplate, and folders.
pub(crate) const ROUTES_MAX: usize = 1_000;

/// Katamari's own, which no configured route can take.
const OWN: [&str; 11] = [
    "/call",
    "/rpc",
    "/status",
    "/metrics",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/why",
    "/operate",
    "/apply",
    "/thrift",
];

/// What the configuration says, and the same made fast to look up.
#[derive(Default)]
pub(crate) struct Routes {
    routes: BTreeMap<String, String>,
    folders: BTreeMap<String, PathBuf>,
    by_method: BTreeMap<String, matchit::Router<Arc<Function>>>,
    any_method: matchit::Router<Arc<Function>>,
    files: matchit::Router<ServeDir>,
}

#[derive(Debug)]
struct Function {
    kind: String,
    function: String,
}

/// What a request goes to.
enum Found<'r, 'p> {
    Function(&'r Function, Params<'r, 'p>),
    /// A folder, and the path in it.
    Folder(&'r ServeDir, &'p str),
}

/// What was configured is all there is to tell.
impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes")
            .field("routes", &self.routes)
            .field("folders", &self.folders)
            .finish_non_exhaustive()
    }
}

impl Routes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.folders.is_empty()
    }

    /// Adds `"POST /parse/{lang}"`, or a path for all methods, to `"parse.linkage"`.
    pub fn add(&mut self, route: &str, function: &str) -> Result<(), String> {
        let (method, path) = match route.split_once(' ') {
            Some((method, path)) => (Some(method.to_owned()), path.trim_start()),
            None => (None, route),
        };
        let is_method = |method: &String| {
            !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase())
        };
        if !method.as_ref().is_none_or(is_method) || !path.starts_with('/') {
            return Err(format!(
                "expected a method and a path, such as \"POST /parse/{{lang}}\", or a path, got \"{route}\""
            ));
        }
        let Some((kind, name)) = function.split_once('.') else {
            return Err(format!(
                "expected a function, such as \"parse.linkage\", got \"{function}\""
            ));
        };
        let target = Arc::new(Function {
            kind: kind.to_owned(),
            function: name.to_owned(),
        });
        let routes = match method {
            Some(method) => self.by_method.entry(method).or_default(),
            None => &mut self.any_method,
        };
        insert(routes, path, &target)?;
        self.routes.insert(route.to_owned(), function.to_owned());
        Ok(())
    }

    /// Serves the files of a folder below a path.
    pub fn add_folder(&mut self, path: &str, folder: PathBuf) -> Result<(), String> {
        if !path.starts_with('/') || path.contains(['{', '}']) {
            return Err(format!(
                "expected a path such as \"/static\", got \"{path}\""
            ));
        }
        let below = format!("{}/{{path*}}", path.trim_end_matches('/'));
        insert(&mut self.files, &below, &ServeDir::new(&folder))?;
        self.folders.insert(path.to_owned(), folder);
        Ok(())
    }

    /// Answers a request that some route is for; gives the body back if none is.
    pub async fn serve(
        &self,
        desk: &Desk,
        principal: &Principal,
        peer: Option<IpAddr>,
        parts: &Parts,
        body: Incoming,
    ) -> Result<Result<Response<Body>, Problem>, Incoming> {
        let path = parts.uri.path();
        match self.find(&parts.method, path) {
            Some(Found::Function(to, _)) if to.function == pass::FUNCTION => {
                Ok(pass::serve(desk, principal, peer, parts, &to.kind, body).await)
            }
            Some(Found::Function(to, params)) => {
                Ok(to.serve(desk, principal, parts, &params, body).await)
            }
            Some(Found::Folder(folder, below)) => Ok(file(folder, parts, below).await),
            None => match self.methods(path) {
                methods if methods.is_empty() => Err(body),
                methods => Ok(Err(Problem::method(methods.join(", ")))),
            },
        }
    }

    /// The route with the most fixed text; of equals one with the method before one without, and a
    /// folder last.
    fn find<'r, 'p>(&'r self, method: &Method, path: &'p str) -> Option<Found<'r, 'p>> {
        let get = (*method == Method::HEAD).then_some(&Method::GET);
        let by_method = [Some(method), get].into_iter().flatten();
        let by_method = by_method.filter_map(|method| self.by_method.get(method.as_str()));
        let mut best = None;
        for functions in by_method.chain([&self.any_method]) {
            if let Ok(found) = functions.at(path) {
                let fixed = fixed(path, &found.params);
                if best.as_ref().is_none_or(|(most, _)| fixed > *most) {
                    best = Some((fixed, Found::Function(found.value, found.params)));
                }
            }
        }
        if let Ok(found) = self.files.at(path) {
            let fixed = fixed(path, &found.params);
            if best.as_ref().is_none_or(|(most, _)| fixed > *most) {
                let below = &path[fixed..];
                best = Some((fixed, Found::Folder(found.value, below)));
            }
        }
        best.map(|(_, found)| found)
    }

    /// The methods that a path has.
    fn methods(&self, path: &str) -> Vec<&str> {
        let has =
            |(_, routes): &(&String, &matchit::Router<Arc<Function>>)| routes.at(path).is_ok();
        let methods = self.by_method.iter().filter(has);
        let mut methods: Vec<_> = methods.map(|(method, _)| method.as_str()).collect();
        if methods.contains(&"GET") && !methods.contains(&"HEAD") {
            methods.push("HEAD");
        }
        methods
    }
}

/// Bytes of a path that a route has as they are.
fn fixed(path: &str, params: &Params<'_, '_>) -> usize {
    path.len() - params.iter().map(|(_, value)| value.len()).sum::<usize>()
}

/// Whether a path is Katamari's own.
pub(super) fn is_own(path: &str) -> bool {
    OWN.iter().any(|own| is_below(path, own))
}

/// Adds a path with `{name}` for a part and `{name*}` for the rest, which may be empty.
fn insert<T: Clone>(routes: &mut matchit::Router<T>, path: &str, to: &T) -> Result<(), String> {
    if let Some(own) = OWN.iter().find(|own| is_below(path, own)) {
        return Err(format!("{own} is Katamari's own; choose another path"));
    }
    let mut paths = vec![path.to_owned()];
    if let Some((before, name)) = path
        .strip_suffix("*}")
        .and_then(|path| path.rsplit_once('{'))
    {
        paths = vec![format!("{before}{{*{name}}}"), before.to_owned()];
        let bare = before.trim_end_matches('/');
        if !bare.is_empty() {
            paths.push(bare.to_owned());
        }
    }
    for path in paths {
        let inserted = routes.insert(path, to.clone());
        inserted.map_err(|error| format!("the path cannot be used: {error}"))?;
    }
    Ok(())
}

fn is_below(path: &str, own: &str) -> bool {
    let rest = path.strip_prefix(own);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn file(folder: &ServeDir, parts: &Parts, below: &str) -> Result<Response<Body>, Problem> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Problem::method("GET, HEAD"));
    }
    let path = parts.uri.path();
    if below.is_empty() && !path.ends_with('/') {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response.headers_mut().insert(LOCATION, with_slash(path)?);
        return Ok(response);
    }
    let uri = format!("/{below}").parse();
    let uri: http::Uri = uri.map_err(|_| Problem::new(Code::BadRequest, "the path is no path"))?;
    let mut request = Request::new(http_body_util::Empty::<Bytes>::new());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = parts.headers.clone();
    match folder.clone().try_call(request).await {
        Ok(mut response) => {
            // It knows nothing of the path that the folder is below.
            if response.headers().contains_key(LOCATION) {
                response.headers_mut().insert(LOCATION, with_slash(path)?);
            }
            Ok(response.map(|body| Body::Other(body.boxed_unsync())))
        }
        Err(error) => {
            tracing::warn!(%error, path = parts.uri.path(), "a file cannot be served");
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Err(Problem::with_status(
                status,
                Code::BadRequest,
                "the file cannot be read",
            ))
        }
    }
}

/// Where a folder is that was asked for without the slash at its end: seen from there, so that it
/// cannot be taken for the name of a host.
fn with_slash(path: &str) -> Result<HeaderValue, Problem> {
    let name = path.rsplit('/').next().unwrap_or_default();
    HeaderValue::try_from(format!("./{name}/"))
        .map_err(|_| Problem::new(Code::BadRequest, "expected a path in ASCII"))
}

impl Function {
    /// Makes a call of a request, and a response of its result.
    async fn serve(
        &self,
        desk: &Desk,
        principal: &Principal,
        parts: &Parts,
        params: &Params<'_, '_>,
        body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        door::check_site(&parts.headers)?;
        let mut wishes = Wishes::of(&parts.headers)?;
        let details = wishes.take_details(&self.kind)?;
        let class = desk.permit(principal, &details, &wishes)?;
        let mut given = Given::default();
        for (name, value) in params.iter() {
            given.text(name.into(), decoded(value)?)?;
        }
        given.query(parts.uri.query().unwrap_or_default().as_bytes())?;
        let reader = Reader {
            details: &details,
            function: &self.function,
            whole_max: 0,
            has_head: false,
            is_cast: wishes.cast,
        };
        let mut bytes = Bytes::new();
        let input = match given::is_arguments(&parts.headers) {
            true => Err(body),
            false => upload::read_by(reader, desk, &parts.headers, body).await?,
        };
        let input = match input {
            Ok(input) => Some(input),
            Err(body) => {
                bytes = body::read(body, desk).await?;
                given.form(&parts.headers, &bytes)?;
                None
            }
        };
        let arguments = given.to(desk, &self.kind, &self.function, &bytes).await?;
        let (payload, shape) = of_json(arguments)?;
        let target = Target {
            details,
            function: &self.function,
            payload,
            shape,
        };
        let mut call = desk.prepare(principal, class, target, &wishes);
        call.call.input = input;
        if wishes.cast {
            return call::cast(desk, call);
        }
        call::respond(desk.call(call).await).await
    }
}
