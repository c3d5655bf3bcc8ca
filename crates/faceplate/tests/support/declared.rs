//! Pools that are only there to be seen: what their workers declare. Calls go to the script.

use super::{Scene, WORKER};
use dispatch::{Assignment, Limits, Notice, Refused, Slots};
use pool::{CallId, Description, Epoch, Introduction, Program, SlotId, StopReason, WorkerId};
use std::sync::Arc;
use std::time::Duration;

/// Has no slots to give.
struct Nobody;

impl Slots for Nobody {
    fn assign(&self, _: Assignment) -> Result<(), Refused> {
        Err(Refused)
    }

    fn stop(&self, _: CallId, _: StopReason) {}
}

/// A scene with one pool, of this description in JSON.
pub fn declaring(description: &str) -> Scene {
    declaring_all(&[description])
}

/// A scene with a pool for each of these descriptions.
pub fn declaring_all(descriptions: &[&str]) -> Scene {
    let limits = Limits {
        timeout: Duration::from_secs(10),
        lobby_max: 10,
        lobby_bytes_max: 1 << 20,
    };
    let (run, dispatcher, notices) = dispatch::new(WORKER.node, &limits);
    tokio::spawn(run.run());
    let program = Program {
        name: "p".into(),
        weight: 1,
        timeout: Duration::from_secs(10),
        queue_max: 7,
        queue_bytes_max: 1 << 20,
    };
    notices.send(Notice::Program(program.clone()));
    for (number, description) in (WORKER.number..).zip(descriptions) {
        let worker = WorkerId { number, ..WORKER };
        let description: Description = serde_json::from_str(description).expect("a description");
        notices.send(Notice::Introduced {
            introduction: Introduction {
                worker,
                program: "p".into(),
                description: Arc::new(description),
                slots: 1,
                batch_max: 1,
            },
            program: program.clone(),
            pid: 1,
            slots: Box::new(Nobody),
        });
        notices.send(Notice::Offered {
            slot: SlotId { worker, index: 0 },
            epoch: Epoch(1),
        });
    }
    Scene {
        dispatcher: Some(dispatcher),
        ..Scene::default()
    }
}
