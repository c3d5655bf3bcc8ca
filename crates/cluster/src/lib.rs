//! Masters, members, hard state by consensus, soft state by announcement.
