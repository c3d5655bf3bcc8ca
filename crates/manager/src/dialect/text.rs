//! How details and classes are written in JSON.

use pool::{Class, Details};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Details as callers write them: version keys stand beside `kind`, as in
/// `{"kind": "parse", "grammar": "1.2.3", "tags": ["en"]}`.
#[derive(Debug, Deserialize)]
pub(crate) struct DetailsText {
    kind: Option<Arc<str>>,
    #[serde(default)]
    tags: BTreeSet<Arc<str>>,
    #[serde(default)]
    roles: BTreeSet<Arc<str>>,
    #[serde(flatten)]
    versions: BTreeMap<Arc<str>, Arc<str>>,
}

impl From<DetailsText> for Details {
    fn from(text: DetailsText) -> Self {
        Self {
            kind: text.kind,
            versions: text.versions,
            tags: text.tags,
            roles: text.roles,
        }
    }
}

/// The word for a class.
pub(crate) fn class_name(class: Class) -> &'static str {
    match class {
        Class::High => "high",
        Class::Normal => "normal",
        Class::Low => "low",
    }
}
