//! Frames, and links between nodes, over TLS.
