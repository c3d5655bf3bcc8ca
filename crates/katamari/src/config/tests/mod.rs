//! A good configuration is read whole; a bad one is explained, exactly.

mod access;
mod bad;
mod dialects;
mod files;
mod good;

use super::*;

/// Reads a text as if it were `katamari.toml` in an existing folder.
fn read(text: &str) -> Result<Config, Problems> {
    let folder = std::env::temp_dir();
    let variable = |name: &str| (name == "DICT").then(|| "/usr/share/dict".to_owned());
    Config::read(Path::new("katamari.toml"), &folder, text, &variable)
}
