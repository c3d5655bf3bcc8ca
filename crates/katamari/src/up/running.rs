//! Which of the programs that this node was ordered to run can run yet: those whose files are here.
//! Until they are, the workers of the version before go on in their place. Pure.

use crate::files::shown_bytes;
use crate::membership::{Decoded, files_of};
use cluster::files::{ContentHash, Unpacked, Unpacking, Wants};
use cluster::hard::Hard;
use manager::{Program, ProgramStatus};
use pool::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The programs that run, by the names that dispatchers know, with the manifests of their files.
#[derive(Debug, Default)]
pub struct Running(BTreeMap<Arc<str>, (Program, Option<ContentHash>)>);

impl Running {
    /// Takes up what was ordered, and gives what has to wait for its files.
    pub fn follow(&mut self, ordered: Vec<Decoded>, here: &Unpacked) -> Vec<ProgramStatus> {
        let mut before = std::mem::take(&mut self.0);
        let mut waiting = Vec::new();
        for decoded in ordered {
            let name = decoded.program.pool_name();
            let shipped = decoded.shipped();
            let ready = match shipped.map(|files| here.get(&files)) {
                None => Ok(decoded.program),
                Some(Some(Unpacking::Ready(folder))) => Ok(decoded.unpacked_in(folder)),
                Some(unpacking) => {
                    waiting.push(status(&decoded.program, unpacking));
                    Err(decoded.program)
                }
            };
            match (ready, before.remove(&name)) {
                (Ok(program), _) => drop(self.0.insert(name, (program, shipped))),
                // As when its workers are renewed: the old ones stand for the new version, for whoever
                // counts, until others take their places.
                (Err(waits), Some((old, files))) => {
                    let process = old.process;
                    self.0.insert(name, (Program { process, ..waits }, files));
                }
                (Err(_), None) => {}
            }
        }
        waiting
    }

    /// What the manager is to run.
    pub fn programs(&self) -> Vec<Program> {
        self.0
            .values()
            .map(|(program, _)| program.clone())
            .collect()
    }
}

/// A program that waits for its files.
fn status(program: &Program, unpacking: Option<&Unpacking>) -> ProgramStatus {
    let Some(Unpacking::Fetching {
        progress: (got, of),
        problem,
        failures,
    }) = unpacking
    else {
        return ProgramStatus::fetching(program, "its files are asked for".to_owned(), 0);
    };
    let how_far = match (problem, of) {
        (Some(why), _) => format!("its files do not come: {why}; trying again"),
        (None, 0) => "its files are asked for".to_owned(),
        (None, of) if got == of => "its files are here and are unpacked".to_owned(),
        (None, of) => format!(
            "{} of {} of its files are here",
            shown_bytes(*got),
            shown_bytes(*of)
        ),
    };
    ProgramStatus::fetching(program, how_far, u64::from(*failures))
}

/// The files that are to come to the node `me`: to a master those of all versions that are kept, and
/// to a manager those of what it was ordered to run, or still runs.
pub fn wants(me: NodeId, hard: &Hard, ordered: &[Decoded], running: &Running) -> Wants {
    let mut wants = Wants {
        masters: hard.masters.clone(),
        ..Wants::default()
    };
    if hard.masters.contains(&me) {
        let versions = hard.programs.values().flat_map(|record| &record.versions);
        wants.keep = versions
            .filter_map(|version| files_of(&version.spec))
            .collect();
    }
    let runs = running.0.values().filter_map(|(_, files)| *files);
    let ordered = ordered.iter().filter_map(Decoded::shipped);
    wants.unpack = ordered.chain(runs).collect();
    wants
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::membership::difference;
    use cluster::hard::Pace;
    use std::path::{Path, PathBuf};

    /// A program as a cluster keeps it, whose one file has this text.
    fn version(folder: &Path, text: &str) -> Decoded {
        std::fs::write(folder.join("parse.py"), text).expect("the file");
        let file = folder.join("katamari.toml");
        let program = "[program.p]\ncommand = [\"sh\", \"parse.py\"]\nfiles = [\"parse.py\"]";
        std::fs::write(&file, program).expect("the file");
        let mut config = Config::load(&file).expect("a good file");
        crate::membership::ship(&mut config.programs);
        let mut hard = Hard {
            revision: 1,
            ..Hard::default()
        };
        let differences = difference::between(&hard, &config.programs);
        let change = difference::change(&differences, 1, Pace::AtOnce);
        hard.apply(&change).expect("it makes sense");
        let spec = &hard.programs["p"].versions[0].spec;
        let mut decoded = crate::membership::decode(spec).expect("it was just made");
        decoded.program.workers = 2;
        decoded
    }

    #[test]
    fn a_program_waits_for_its_files_and_the_version_before_runs_on() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (one, two) = (version(folder.path(), "1"), version(folder.path(), "2"));
        let [first, second] = [&one, &two].map(|one| one.shipped().expect("it has files"));
        assert_ne!(first, second);
        let mut running = Running::default();
        let mut here = Unpacked::new();
        let waiting = running.follow(vec![one.clone()], &here);
        assert_eq!((waiting.len(), running.programs().len()), (1, 0));
        here.insert(first, Unpacking::Ready("/programs/1".into()));
        assert!(running.follow(vec![one.clone()], &here).is_empty());
        let process = running.programs()[0].process.clone();
        assert_eq!(process.folder, PathBuf::from("/programs/1"));
        let fetching = Unpacking::Fetching {
            progress: (1 << 20, 20 << 20),
            problem: None,
            failures: 0,
        };
        here.insert(second, fetching);
        let mut larger = two.clone();
        larger.program.workers = 3;
        let waiting = running.follow(vec![larger], &here);
        assert_eq!(
            waiting[0].problem.as_deref(),
            Some("1024 KiB of 20 MiB of its files are here")
        );
        let old = &running.programs()[0];
        assert_eq!((&old.process, old.workers), (&process, 3));
        let hard = Hard::default();
        let wanted = wants(NodeId(1), &hard, std::slice::from_ref(&two), &running).unpack;
        assert_eq!(
            wanted,
            [first, second].into(),
            "what runs is not taken away"
        );
        here.insert(second, Unpacking::Ready("/programs/2".into()));
        assert!(running.follow(vec![two], &here).is_empty());
        assert_ne!(running.programs()[0].process, process);
        assert!(running.follow(vec![], &here).is_empty() && running.programs().is_empty());
    }

    #[test]
    fn a_command_beside_the_files_stays_where_it_is_on_each_machine() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let python = folder.path().join("python");
        std::fs::write(&python, "#!/bin/sh").expect("the file");
        let run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&python, run).expect("a mode");
        std::fs::write(folder.path().join("parse.py"), "").expect("the file");
        let file = folder.path().join("katamari.toml");
        for (files, command) in [
            ("parse.py", python.display().to_string()),
            ("python", "./python".to_owned()),
        ] {
            let program =
                format!("[program.p]\ncommand = [{python:?}, \"parse.py\"]\nfiles = [{files:?}]");
            std::fs::write(&file, program).expect("the file");
            let mut config = Config::load(&file).expect("a good file");
            crate::membership::ship(&mut config.programs);
            assert_eq!(config.programs[0].run.process.command[0], command);
        }
    }

    #[test]
    fn a_command_with_a_slash_is_found_among_the_files() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut decoded = version(folder.path(), "1");
        decoded.program.process.command = vec!["./bin/parse".to_owned(), "./x".to_owned()];
        let program = decoded.unpacked_in(Path::new("/programs/1"));
        assert_eq!(program.process.command, ["/programs/1/./bin/parse", "./x"]);
    }
}
