//! How much memory a worker holds: its process and those that it has started, so that a server
//! whose master only forks others has its limit as well.
//!
//! The sum of resident sizes, of started processes without what they may share by files. It errs
//! on the high side: what a fork has left unchanged counts once in each process. Rejected:
//! proportional sizes (`smaps_rollup`), which would be right. The kernel walks all pages to tell
//! them, 2 ms for 100 MiB and tens of them for 1 GiB, and here everything runs on one thread.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Started processes that count; each costs an open file. Servers that fork have tens.
const OTHERS_MAX: usize = 100;

/// Threads of a process whose children are looked for: reading them must not hold up the node.
const THREADS_MAX: usize = 250;

/// Bytes that a worker holds now; none if it has ended.
pub(crate) fn bytes_of(pid: u32) -> Option<u64> {
    let mut memory = Memory::of(pid)?;
    memory.find_others();
    memory.bytes()
}

/// The memory of a worker. Its files are kept open, since they are read after every call.
#[derive(Debug)]
pub(crate) struct Memory {
    pid: u32,
    own: File,
    others: Vec<File>,
}

impl Memory {
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            own: open(pid)?,
            others: Vec::new(),
        })
    }

    /// Looks for the processes that it has started and that live. Those whose parents have died
    /// belong to nobody, and are not found.
    pub fn find_others(&mut self) {
        let mut found = vec![self.pid];
        let mut next = 0;
        while next < found.len() && found.len() <= OTHERS_MAX {
            for child in children(found[next]) {
                if !found.contains(&child) {
                    found.push(child);
                }
            }
            next += 1;
        }
        let others = found.into_iter().skip(1).take(OTHERS_MAX);
        self.others = others.filter_map(open).collect();
    }

    /// Bytes of its process and of the others as last found; none if it has ended.
    pub fn bytes(&self) -> Option<u64> {
        let (own, _) = pages(&self.own)?;
        let others = self.others.iter().filter_map(pages);
        let others: u64 = others
            .map(|(resident, shared)| resident.saturating_sub(shared))
            .sum();
        Some((own + others) * rustix::param::page_size() as u64)
    }
}

fn open(pid: u32) -> Option<File> {
    File::open(format!("/proc/{pid}/statm")).ok()
}

/// Pages that are resident, and those of them that files or shared memory back.
fn pages(statm: &File) -> Option<(u64, u64)> {
    let mut text = [0; 128];
    let length = statm.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(&text[..length]).ok()?;
    let mut fields = text.split(' ').skip(1).map(|field| field.parse().ok());
    Some((fields.next()??, fields.next()??))
}

/// What all threads of a process have started; nothing if it has ended, or if this kernel does not
/// tell (`CONFIG_PROC_CHILDREN`).
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for thread in threads.take(THREADS_MAX).flatten() {
        let text = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        found.extend(text.split_ascii_whitespace().flat_map(str::parse::<u32>));
    }
    found
}
