//! The two descriptors that a manager gives to a worker, and whether there is a manager at all.
//!
//! They are claimed when the [`Worker`](crate::Worker) is made: set to close-on-exec, so that
//! programs which this one starts do not inherit them.

use rustix::fd::BorrowedFd;
use rustix::io::{FdFlags, fcntl_setfd};
use std::os::fd::RawFd;

/// Frames to the worker.
const FROM_MANAGER: RawFd = 3;

/// Frames from the worker.
const TO_MANAGER: RawFd = 4;

/// The version of dialect `json` that this chassis speaks.
pub(crate) const PROTOCOL: u32 = 1;

/// What promises the descriptors, with the versions that the manager speaks.
const VARIABLE: &str = "KATAMARI_PROTOCOL";

/// Both descriptors.
#[derive(Clone, Copy)]
pub(crate) struct Descriptors {
    /// To be read.
    pub from_manager: BorrowedFd<'static>,
    /// To be written.
    pub to_manager: BorrowedFd<'static>,
}

/// Claims the descriptors; or says, as a whole sentence, why there is no manager to talk to.
pub(crate) fn claim() -> Result<Descriptors, String> {
    let Ok(offered) = std::env::var(VARIABLE) else {
        return Err(format!("{VARIABLE} is not set, so no manager started it."));
    };
    if !offered.split(',').any(|it| it == PROTOCOL.to_string()) {
        return Err(format!(
            "the manager speaks {offered:?}, and this chassis version {PROTOCOL} of dialect \"json\"."
        ));
    }
    Ok(Descriptors {
        from_manager: claim_one(FROM_MANAGER)?,
        to_manager: claim_one(TO_MANAGER)?,
    })
}

#[allow(unsafe_code)]
fn claim_one(number: RawFd) -> Result<BorrowedFd<'static>, String> {
    // SAFETY: by the protocol these two are the manager's pipes and open for the life of the
    // process, and nothing in it owns them, so nothing closes them. There is no safe way to name
    // an inherited descriptor; should it not be open, the next line says so.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_setfd(descriptor, FdFlags::CLOEXEC)
        .map_err(|_| format!("descriptor {number} is not open."))?;
    Ok(descriptor)
}
