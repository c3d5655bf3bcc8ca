//! Names that an object gives twice: which of the two counts would depend on who reads it.

/// One of the names that stand in `names` more than once.
pub fn repeated<'a>(names: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let mut names: Vec<&[u8]> = names.collect();
    names.sort_unstable();
    names
        .windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
}
