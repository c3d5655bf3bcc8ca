//! Routes that the configuration makes: paths and methods to functions, and folders of files.
//!
//! A route to a function named `http` passes whole requests and responses ([`super::pass`]); to any
//! other it makes arguments of the path, the query and the body. Katamari's own paths come first,
//! unless there is nothing but routes.

use super::body::{self, Body};
use super::pass;
use super::problem::Problem;
use super::{call, door};
use crate::arguments::of_json;
use crate::desk::{Desk, Target};
use crate::guard::Principal;
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::Code;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use matchit::Params;
use pool::Type;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use term::JSON;
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

/// Values in the path, the query and the form of one request: more than people fill in, and little
/// enough memory beside a body of the usual size.
const TEXTS_MAX: usize = 10_000;

const FORM: &str = "application/x-www-form-urlencoded";

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
        let query = parts.uri.query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            given.text(name, value)?;
        }
        let bytes = body::read(body, desk).await?;
        given.form(&parts.headers, &bytes)?;
        let declared = match given.texts.is_empty() {
            true => None,
            false => {
                let catalogue = &desk.node.catalogue;
                let found = catalogue.function(&self.kind, &self.function).await;
                // A node that stops tells the call.
                found.ok().flatten()
            }
        };
        let arguments = given.with(&bytes, declared.as_deref())?;
        let (payload, shape) = of_json(arguments)?;
        let target = Target {
            details,
            function: &self.function,
            payload,
            shape,
        };
        let call = desk.prepare(principal, class, target, &wishes);
        if wishes.cast {
            return call::cast(desk, call);
        }
        call::respond(desk.node.caller.call(call).await).await
    }
}

/// A part of a path, without its `%`.
fn decoded(text: &str) -> Result<Cow<'_, str>, Problem> {
    percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Problem::new(Code::BadRequest, "expected a path in UTF-8"))
}

/// Arguments that stand in the path, the query and a form: text, by name.
#[derive(Default)]
struct Given<'a> {
    /// More than one value of a name is an array.
    texts: BTreeMap<Cow<'a, str>, Vec<Cow<'a, str>>>,
    /// How many values.
    count: usize,
    /// Whether the body was a form, and is among them.
    is_form: bool,
}

impl<'a> Given<'a> {
    fn text(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> Result<(), Problem> {
        if self.count == TEXTS_MAX {
            let message = format!("expected at most {TEXTS_MAX} values in path, query and form");
            return Err(Problem::new(Code::TooLarge, message));
        }
        self.count += 1;
        self.texts.entry(name).or_default().push(value);
        Ok(())
    }

    /// Takes the arguments of a form.
    fn form(&mut self, headers: &HeaderMap, body: &'a Bytes) -> Result<(), Problem> {
        let content_type = match headers.get(CONTENT_TYPE) {
            Some(value) => value.to_str().unwrap_or_default(),
            None => "",
        };
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(FORM) {
            for (name, value) in form_urlencoded::parse(body) {
                self.text(name, value)?;
            }
            self.is_form = true;
        } else if !body.is_empty() && !essence.eq_ignore_ascii_case(JSON) {
            let message = format!(
                "expected content-type: application/json or {FORM}, got {content_type:?}; a \
                 function named http takes anything"
            );
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(Problem::with_status(status, Code::BadRequest, message));
        }
        Ok(())
    }

    /// All arguments as JSON, with those of a body in JSON.
    fn with(self, body: &'a Bytes, declared: Option<&pool::Function>) -> Result<Bytes, Problem> {
        if self.texts.is_empty() && !self.is_form {
            return Ok(body.clone());
        }
        let mut members: BTreeMap<Cow<'_, str>, Box<RawValue>> = BTreeMap::new();
        if !self.is_form && !body.is_empty() {
            members = serde_json::from_slice(body).map_err(|error| {
                let message = format!("expected a JSON object beside other arguments: {error}");
                Problem::new(Code::BadRequest, message)
            })?;
        }
        for (name, values) in self.texts {
            let parameter = declared.and_then(|function| {
                let mut parameters = function.parameters.iter();
                parameters.find(|parameter| *parameter.name == *name)
            });
            let given_as = parameter.map(|parameter| &parameter.r#type);
            let value = value_of(&name, &values, given_as.unwrap_or(&Type::Any))?;
            if members.insert(name.clone(), value).is_some() {
                return Err(twice(&name));
            }
        }
        Ok(serde_json::to_vec(&members)
            .expect("values that were JSON are")
            .into())
    }
}

/// The value of an argument that was given as text: as it is declared, if it can be read so.
fn value_of(name: &str, texts: &[Cow<'_, str>], declared: &Type) -> Result<Box<RawValue>, Problem> {
    let declared = match declared {
        Type::Optional(inner) => inner,
        declared => declared,
    };
    if let Type::Array(element) = declared {
        let values: Vec<_> = texts.iter().map(|text| scalar(text, element)).collect();
        return Ok(raw(&values));
    }
    match texts {
        [text] => Ok(scalar(text, declared)),
        _ => Err(twice(name)),
    }
}

/// What does not fit stays text, which the check of types then names.
fn scalar(text: &str, declared: &Type) -> Box<RawValue> {
    let reads_as_json = matches!(
        declared,
        Type::Integer | Type::Number | Type::Boolean | Type::Object | Type::Array(_) | Type::Map(_)
    );
    let json = reads_as_json.then(|| serde_json::from_str(text).ok());
    json.flatten().unwrap_or_else(|| raw(&text))
}

fn raw(value: &impl serde::Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("text and JSON are JSON")
}

fn twice(name: &str) -> Problem {
    let message = format!("expected the argument {name} once, got it more often");
    Problem::new(Code::BadArguments, message)
}
