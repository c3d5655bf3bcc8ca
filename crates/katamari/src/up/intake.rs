//! Files of programs on their way into the cluster, as the command line hands them to this node.

use super::operator::{json, text};
use crate::files::operations::{Hold, Holder};
use bytes::Bytes;
use cluster::files::{Files, Manifest};
use cluster::member::Member;
use futures_util::future::{BoxFuture, join_all};

/// Takes files in.
pub struct Intake {
    /// This node's files; none on a machine that is alone.
    pub files: Option<Files>,
    /// Who the masters are.
    pub member: Member,
}

impl Intake {
    /// Does what stands behind `files/` in a path. None if there is no such thing to do.
    pub fn operate(
        &self,
        what: Vec<String>,
        question: Bytes,
    ) -> Option<BoxFuture<'_, Result<Bytes, String>>> {
        let words: Vec<&str> = what.iter().map(String::as_str).collect();
        if !matches!(
            words[..],
            ["offer" | "hold"] | ["put", _, _, _] | ["manifest", _]
        ) {
            return None;
        }
        Some(Box::pin(async move {
            let files = self.files.as_ref();
            let files =
                files.ok_or("this node is alone: it runs programs where their files are")?;
            let words: Vec<&str> = what.iter().map(String::as_str).collect();
            match words[..] {
                ["offer"] => self.offer(files, &question).await,
                ["put", content, size, offset] => {
                    let content = content.parse().map_err(text)?;
                    let (size, offset) = (number(size)?, number(offset)?);
                    json(&files.put(content, size, offset, question).await?)
                }
                ["hold"] => self.hold(files, &question).await,
                ["manifest", name] => {
                    let name = name.parse().map_err(text)?;
                    json(&files.manifest(name).await?)
                }
                _ => Err("there is no such thing to do".to_owned()),
            }
        }))
    }

    async fn offer(&self, files: &Files, question: &[u8]) -> Result<Bytes, String> {
        let manifest: Manifest = serde_json::from_slice(question).map_err(text)?;
        let masters = self.member.view().borrow().hard.masters.clone();
        json(&files.offer(manifest, &masters).await?)
    }

    async fn hold(&self, files: &Files, question: &[u8]) -> Result<Bytes, String> {
        let Hold { manifest, bytes } = serde_json::from_slice(question).map_err(text)?;
        let view = self.member.view().borrow().clone();
        let masters = view.hard.masters.iter().filter_map(|master| {
            let record = view.hard.nodes.get(master)?;
            Some((*master, record.name.clone(), view.up.contains_key(master)))
        });
        let holders = masters.map(|(master, name, is_up)| async move {
            let held = match is_up {
                true => files.hold_at(master, manifest, bytes).await,
                false => Err("it is down".to_owned()),
            };
            let (is_whole, progress, problem) = match held {
                Ok(held) => (held.is_whole, held.progress, held.problem),
                Err(why) => (false, (0, 0), Some(why)),
            };
            Holder {
                name,
                is_up,
                is_whole,
                progress,
                problem,
            }
        });
        json(&join_all(holders).await)
    }
}

fn number(text: &str) -> Result<u64, String> {
    let number = text.parse();
    number.map_err(|_| format!("expected a number, got {text:?}"))
}
