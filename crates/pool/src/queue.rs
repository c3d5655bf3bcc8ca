//! Where calls wait: three classes, first in first out in each, bounded in calls and bytes.

use crate::{CallId, Class};
use std::collections::BTreeMap;

/// A call's place: its class, then its order of arrival. Kept by a refused call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub class: Class,
    pub arrival: u64,
}

/// The waiting calls of one pool. One ordered map serves all classes, since a [`Place`] sorts by
/// class first; a deque for each would be faster at the ends, but cancellation needs removal from
/// the middle, and lazy deletion would let dead entries count against the bound.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<Place, (CallId, usize)>,
    bytes: usize,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn push(&mut self, place: Place, call: CallId, bytes: usize) {
        let before = self.waiting.insert(place, (call, bytes));
        assert!(before.is_none(), "two calls at {place:?}");
        self.bytes += bytes;
    }

    pub fn remove(&mut self, place: Place) {
        if let Some((_, bytes)) = self.waiting.remove(&place) {
            self.bytes -= bytes;
        }
    }

    /// Calls in the order in which they are to be served.
    pub fn iter(&self) -> impl Iterator<Item = (Place, CallId)> + '_ {
        self.waiting
            .iter()
            .map(|(place, (call, _))| (*place, *call))
    }

    /// Empties the queue, in order.
    pub fn drain(&mut self) -> Vec<CallId> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting)
            .into_values()
            .map(|(call, _)| call)
            .collect()
    }

    pub fn count(&self, class: Class) -> usize {
        let from = Place { class, arrival: 0 };
        let to = Place {
            class,
            arrival: u64::MAX,
        };
        self.waiting.range(from..=to).count()
    }
}
