//! `dialect = "http"`: how to see that a program is well, and what its functions request.

use super::lines;
use super::section::{Entry, Section};
use manager::dialect::Http;
use manager::dialect::http::{self, Health, Request};
use manager::dialect::template::Template;
use pool::Function;
use std::collections::BTreeMap;

/// Calls that one worker takes at a time.
const SLOTS_MAX: u64 = 1024;

/// What a function may request with.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Reads what an `http` program is.
pub fn read(
    section: &mut Section<'_>,
    command: &[String],
    env: &BTreeMap<String, String>,
) -> Option<Http> {
    let texts = || command.iter().chain(env.values());
    if texts().any(|text| text.contains("{port}")) && texts().any(|text| text.contains("{socket}"))
    {
        section.report("expected one of {port} and {socket} in command and env, got both");
    }
    let slots = section.get("slots");
    let slots = slots.and_then(|entry| entry.integer(1..=SLOTS_MAX));
    let health = section.get("health").and_then(|entry| health(&entry));
    let mut functions = BTreeMap::new();
    let own = vec![http::function()];
    let description = lines::describe(section, own, &mut |function, section| {
        if let Some(request) = request(function, section) {
            functions.insert(function.name.clone(), request);
        }
    })?;
    Some(Http {
        description: description.into(),
        slots: slots
            .and_then(|slots| u16::try_from(slots).ok())
            .unwrap_or(1),
        health: health.unwrap_or_else(|| Health::Get("/".to_owned())),
        functions,
    })
}

fn health(entry: &Entry<'_>) -> Option<Health> {
    match &*entry.text()? {
        "connect" => Some(Health::Connect),
        path if path.starts_with('/') => Some(Health::Get(path.to_owned())),
        text => {
            entry.report(format!(
                "expected a path such as \"/health\", or \"connect\", got \"{text}\""
            ));
            None
        }
    }
}

/// Reads `POST /parse/{lang}`.
fn request(function: &Function, section: &mut Section<'_>) -> Option<Request> {
    let entry = section.need("request", "request = \"POST /parse/{lang}\"")?;
    let text = entry.text()?;
    let (method, path) = text.split_once(' ').unwrap_or((&text, ""));
    if !METHODS.contains(&method) || !path.starts_with('/') {
        let methods = METHODS.join(", ");
        entry.report(format!(
            "expected one of {methods} and a path, such as \"POST /parse/{{lang}}\", got \"{text}\""
        ));
        return None;
    }
    let path = Template::parse(path, &lines::names(function));
    let path = path.map_err(|problem| entry.report(problem)).ok()?;
    if function.parameters.iter().any(|parameter| {
        !parameter.required && path.parameters().any(|name| *name == *parameter.name)
    }) {
        entry.report("a parameter in the path cannot be left out; take the ? off it");
    }
    let method = method.to_owned();
    Some(Request { method, path })
}
