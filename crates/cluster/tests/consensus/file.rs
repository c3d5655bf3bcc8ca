//! The log on a real disk, in real time.

use crate::cluster::{change, found, timing};
use crate::hub::Hub;
use cluster::consensus::{Consensus, Place, ProposeError, Settings, StartError};
use cluster::hard::Change;
use pool::NodeId;
use std::path::Path;

const ONE: NodeId = NodeId(1);

async fn start(folder: &Path) -> Result<Consensus, StartError> {
    Consensus::start(Settings {
        me: ONE,
        carrier: Hub::new(1).carrier(ONE),
        place: Place::Folder(folder.to_owned()),
        timing: timing(),
    })
    .await
}

#[tokio::test]
async fn nothing_acknowledged_is_missing_after_an_end_in_the_middle() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut last_acknowledged = 0;
    for life in 0..4_u64 {
        let master = start(folder.path()).await.expect("it starts");
        if life == 0 {
            master.found(found()).await.expect("founded");
        }
        let mut proposals = tokio::task::JoinSet::new();
        for number in 0..100 {
            let master = master.clone();
            proposals.spawn(async move {
                let timeout = change(life * 1_000 + number);
                let applied = master.propose(timeout.clone()).await;
                applied.map(|applied| (applied.revision, timeout))
            });
        }
        let mut acknowledged = Vec::new();
        while let Some(proposed) = proposals.join_next().await {
            acknowledged.push(proposed.expect("no panic").expect("applied"));
            if acknowledged.len() == 30 {
                break;
            }
        }
        // The others are on their way when it ends.
        let stop = tokio::spawn({
            let master = master.clone();
            async move { master.stop().await }
        });
        while let Some(proposed) = proposals.join_next().await {
            match proposed.expect("no panic") {
                Ok(applied) => acknowledged.push(applied),
                Err(ProposeError::NoLeader | ProposeError::Uncertain(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        stop.await.expect("it stops");
        let newest = acknowledged.iter().max_by_key(|(revision, _)| *revision);
        let (revision, newest) = newest.expect("some were applied").clone();
        last_acknowledged = last_acknowledged.max(revision);
        let again = start(folder.path()).await.expect("it starts again");
        let mut state = again.hard();
        let hard = state.wait_for(|hard| hard.revision >= revision).await;
        let hard = hard.expect("it runs").clone();
        if let (true, Change::SetTimeout(timeout)) = (hard.revision == revision, newest) {
            assert_eq!(hard.timeout, timeout);
        }
        again.stop().await;
    }
    assert!(last_acknowledged > 100);
}

#[tokio::test]
async fn a_second_master_on_the_same_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let master = start(folder.path()).await.expect("it starts");
    let second = start(folder.path()).await.err().expect("one at a time");
    assert!(second.to_string().contains("consensus.redb"), "{second}");
    master.stop().await;
    let next = start(folder.path()).await.expect("the file is free again");
    next.stop().await;
}

#[tokio::test]
async fn a_record_of_another_format_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let master = start(folder.path()).await.expect("it starts");
    master.found(found()).await.expect("founded");
    master.stop().await;
    {
        let path = folder.path().join("consensus.redb");
        let database = redb::Database::create(path).expect("it opens");
        let table: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("records");
        let write = database.begin_write().expect("it writes");
        let mut records = write.open_table(table).expect("the records");
        records
            .insert("vote", [9_u8, 1, 2].as_slice())
            .expect("inserted");
        drop(records);
        write.commit().expect("committed");
    }
    let error = start(folder.path())
        .await
        .err()
        .expect("format 9 is unknown");
    let message = error.to_string();
    assert!(
        message.contains("expected format 1 of the vote"),
        "{message}"
    );
    assert!(message.contains("got 9"), "{message}");
}
