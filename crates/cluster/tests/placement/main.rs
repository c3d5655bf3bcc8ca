//! Where workers go: by example in `cases`, whatever the cluster in `properties`, and through a long
//! life of many nodes in `scale`. `world` makes clusters and holds what must be true of every
//! placement.

mod cases;
mod properties;
mod scale;
mod world;
