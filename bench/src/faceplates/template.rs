//! Bytes that are written once and differ from call to call only in the number they carry.

/// What stands for the number while the bytes are put together.
pub const NUMBER: &str = "00000000";

/// Bytes with places for a number of eight digits.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    /// The bytes of a call: each [`NUMBER`] in them is a place for its number.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let is_place = |at: &usize| bytes[*at..].starts_with(NUMBER.as_bytes());
        let places = (0..bytes.len()).filter(is_place).collect();
        Self { bytes, places }
    }

    /// The bytes of the call with this number, of which the last eight digits count.
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        for &place in &self.places {
            let mut rest = number;
            for digit in self.bytes[place..][..NUMBER.len()].iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).expect("a digit is below 10");
                rest /= 10;
            }
        }
        &self.bytes
    }
}

/// A message behind its length, 32 bits in network byte order.
pub fn measured(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("messages of the bench are short");
    [&length.to_be_bytes()[..], message].concat()
}

/// The first message of what came, without its length; none if it is not whole.
pub fn first_measured(input: &[u8]) -> Option<&[u8]> {
    let (length, rest) = input.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).expect("32 bits fit");
    rest.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_carries_the_number() {
        let mut template = Template::new(format!("<{NUMBER}|{NUMBER}>"));
        assert_eq!(template.numbered(42), b"<00000042|00000042>");
        assert_eq!(template.numbered(1_234_567_890), b"<34567890|34567890>");
    }

    #[test]
    fn a_message_is_found_behind_its_length() {
        let bytes = measured(b"hello");
        assert_eq!(first_measured(&bytes), Some(&b"hello"[..]));
        assert_eq!(first_measured(&bytes[..8]), None);
        assert_eq!(first_measured(&bytes[..3]), None);
    }
}
