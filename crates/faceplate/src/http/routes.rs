//! Routes that the configuration makes: paths and methods to functions, and folders of files.
//!
//! A route to a function named `http` passes whole requests and responses ([`super::pass`]); to any
//! other it makes arguments of the path, the query and the body. Katamari's own routes come first.

use super::body::{self, Body};
use super::call;
use super::pass;
use super::problem::Problem;
use crate::arguments::of_json;
use crate::contract::{answering, interfaces};
use crate::desk::{Desk, Target};
use crate::guard::Principal;
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::Code;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use matchit::Params;
use pool::{Details, Type};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
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

const FORM: &str = "application/x-www-form-urlencoded";

/// What the configuration says, and the same made fast to look up.
#[derive(Default)]
pub(crate) struct Routes {
    routes: BTreeMap<String, String>,
    folders: BTreeMap<String, PathBuf>,
    /// By method; none: any.
    functions: BTreeMap<Option<String>, matchit::Router<Function>>,
    files: matchit::Router<ServeDir>,
}

#[derive(Debug, Clone)]
struct Function {
    kind: String,
    function: String,
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
        let target = Function {
            kind: kind.to_owned(),
            function: name.to_owned(),
        };
        insert(self.functions.entry(method).or_default(), path, &target)?;
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
        parts: &Parts,
        body: Incoming,
    ) -> Result<Result<Response<Body>, Problem>, Incoming> {
        let path = parts.uri.path();
        let own_method = self.functions.get(&Some(parts.method.to_string()));
        let any_method = self.functions.get(&None);
        for functions in [own_method, any_method].into_iter().flatten() {
            if let Ok(found) = functions.at(path) {
                let to = found.value;
                return Ok(match to.function.as_str() {
                    pass::FUNCTION => pass::serve(desk, principal, parts, &to.kind, body).await,
                    _ => to.serve(desk, principal, parts, &found.params, body).await,
                });
            }
        }
        if let Ok(found) = self.files.at(path) {
            let below = found.params.get("path").unwrap_or_default();
            return Ok(file(found.value, parts, below).await);
        }
        let methods: Vec<&str> = self.methods(path).collect();
        if methods.is_empty() {
            return Err(body);
        }
        let message = format!("expected {} for this path", methods.join(" or "));
        let status = http::StatusCode::METHOD_NOT_ALLOWED;
        Ok(Err(Problem::with_status(status, Code::BadRequest, message)))
    }

    /// The methods that a path has.
    fn methods(&self, path: &str) -> impl Iterator<Item = &str> {
        let has = move |routes: &matchit::Router<Function>| routes.at(path).is_ok();
        let methods = self.functions.iter().filter(move |(_, routes)| has(routes));
        methods.filter_map(|(method, _)| method.as_deref())
    }
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
    let uri = format!("/{below}").parse();
    let uri: http::Uri = uri.map_err(|_| Problem::new(Code::BadRequest, "the path is no path"))?;
    let mut request = Request::new(http_body_util::Empty::<Bytes>::new());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = parts.headers.clone();
    match folder.clone().try_call(request).await {
        Ok(response) => Ok(response.map(|body| Body::Other(body.boxed_unsync()))),
        Err(error) => {
            tracing::warn!(%error, path = parts.uri.path(), "a file cannot be served");
            let status = http::StatusCode::INTERNAL_SERVER_ERROR;
            Err(Problem::with_status(
                status,
                Code::BadRequest,
                "the file cannot be read",
            ))
        }
    }
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
        let wishes = Wishes::of(&parts.headers)?;
        let details = Details::of_kind(&self.kind);
        let class = desk.permit(principal, &details, &wishes)?;
        let mut given = Given::default();
        for (name, value) in params.iter() {
            given.text(name.into(), decoded(value)?);
        }
        let query = parts.uri.query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            given.text(name, value);
        }
        let bytes = body::read(body, desk).await?;
        given.form(&parts.headers, &bytes)?;
        let declared = match given.texts.is_empty() {
            true => None,
            false => self.declared(desk).await,
        };
        let arguments = given.with(&bytes, declared.as_ref())?;
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

impl Function {
    /// As the workers declare it.
    async fn declared(&self, desk: &Desk) -> Option<pool::Function> {
        let status = desk.node.observer.pools().await?;
        let interfaces = interfaces(answering(&status.pools));
        let of_kind = interfaces.into_iter().find(|one| *one.kind == *self.kind);
        let mut functions = of_kind?.functions.into_iter();
        let found = functions.find(|one| *one.function.name == *self.function);
        found.map(|declaration| declaration.function)
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
    /// Whether the body was a form, and is among them.
    is_form: bool,
}

impl<'a> Given<'a> {
    fn text(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) {
        self.texts.entry(name).or_default().push(value);
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
                self.text(name, value);
            }
            self.is_form = true;
        } else if !body.is_empty() && !essence.eq_ignore_ascii_case(JSON) {
            let message = format!(
                "expected content-type: application/json or {FORM}, got {content_type:?}; a \
                 function named http takes anything"
            );
            let status = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
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
