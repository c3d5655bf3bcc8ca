//! Masters, members, hard state by consensus, soft state by announcement.

pub mod hard;
pub mod placement;
