//! What waits to be written to one link: many frames, put together for few writes.
//!
//! `Link` adds frames, the writer in `link/drive.rs` takes all there are. Small frames are copied
//! next to each other; large payloads are passed on as they are. Two lanes: frames of bulk services
//! go in portions, and between two portions all others overtake.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;

use crate::frame::{EncodeError, Header, Kind, Service, encode};

/// Payloads up to this many bytes are copied behind their header: cheaper than a part of their own
/// in a vectored write, and over TLS all is copied anyway.
const COPIED_MAX: usize = 4 << 10;

/// Bulk bytes to write before looking for urgent ones again: 2 ms at 1 Gbit/s. A frame that is
/// larger is still written whole.
const PORTION: usize = 256 << 10;

/// How much room the buffer of small frames asks for at a time.
const ROOM: usize = 16 << 10;

#[derive(Default)]
pub(crate) struct Queue {
    /// Parts to write before `small`.
    parts: Vec<Bytes>,
    /// The newest small frames, next to each other.
    small: BytesMut,
    /// Head and payload of each frame.
    bulk: VecDeque<[Bytes; 2]>,
    /// Bytes that were added and not yet written, also those taken.
    pub bytes: usize,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.small.is_empty() && self.bulk.is_empty()
    }

    /// Adds a frame, unless it is too large.
    pub fn add<M: Serialize + ?Sized>(
        &mut self,
        kind: Kind,
        service: u8,
        correlation: u64,
        header: &Header<'_, M>,
        payload: Bytes,
    ) -> Result<(), EncodeError> {
        let length = payload.len();
        if service == Service::Files as u8 {
            let mut head = BytesMut::new();
            encode(&mut head, kind, service, correlation, header, length)?;
            self.bytes += head.len() + length;
            self.bulk.push_back([head.freeze(), payload]);
            return Ok(());
        }
        if self.small.capacity() - self.small.len() < COPIED_MAX {
            self.small.reserve(ROOM);
        }
        let before = self.small.len();
        encode(&mut self.small, kind, service, correlation, header, length)?;
        self.bytes += self.small.len() - before + length;
        if length <= COPIED_MAX {
            self.small.extend_from_slice(&payload);
        } else {
            self.parts.push(self.small.split().freeze());
            self.parts.push(payload);
        }
        Ok(())
    }

    /// Moves all urgent frames and a portion of the bulk ones to `batch`.
    pub fn take(&mut self, batch: &mut Batch) {
        batch.parts.extend(self.parts.drain(..));
        if !self.small.is_empty() {
            batch.parts.push_back(self.small.split().freeze());
        }
        let mut portion = 0;
        while portion < PORTION
            && let Some(frame) = self.bulk.pop_front()
        {
            portion += frame[0].len() + frame[1].len();
            batch
                .parts
                .extend(frame.into_iter().filter(|part| !part.is_empty()));
        }
        batch.bytes = batch.parts.iter().map(Bytes::len).sum();
    }
}

/// Parts to write one after the other, none of them empty.
#[derive(Default)]
pub(crate) struct Batch {
    parts: VecDeque<Bytes>,
    bytes: usize,
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.parts.front().map_or(&[], |part| part)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(part) = self.parts.front_mut()
            && count > 0
        {
            let step = count.min(part.len());
            part.advance(step);
            count -= step;
            if part.is_empty() {
                self.parts.pop_front();
            }
        }
    }
}
