//! A panic of a function becomes the call's error: with its message, and where it came from.

use crate::error::Shown;
use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic;

thread_local! {
    /// Where this thread last panicked.
    static PLACE: Cell<Option<String>> = const { Cell::new(None) };
}

/// Notes where functions panic, besides what happens anyway: a few lines on stderr.
pub(crate) fn note_places() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let mut place = info.location().map(|it| format!("at {it}\n"));
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            place
                .get_or_insert_default()
                .push_str(&backtrace.to_string());
        }
        PLACE.set(place);
        usual(info);
    }));
}

/// What a caller gets to see of a panic of this thread.
pub(crate) fn shown(payload: &(dyn Any + Send)) -> Shown {
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let mut shown = Shown::new("Panic", text.unwrap_or("a panic without a message"));
    shown.backtrace = PLACE.take().unwrap_or_default();
    shown
}
