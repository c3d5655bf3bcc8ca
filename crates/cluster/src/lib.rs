//! Masters, members, hard state by consensus, soft state by announcement.

pub mod consensus;
pub mod files;
pub mod hard;
pub mod member;
pub mod placement;
pub mod rollout;
pub mod soft;
