//! Server-sent events, as far as the node sends them: each a name and lines of data.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `message` unless it says otherwise.
    pub name: String,
    /// Its data; several lines are joined by a space, which is the same in JSON.
    pub data: String,
}

/// Puts events together from bytes as they come.
#[derive(Debug, Default)]
pub struct Events {
    line: Vec<u8>,
    name: Option<String>,
    data: Option<String>,
}

impl Events {
    /// Takes bytes and gives back the events that they complete.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if self.line.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                events.extend(self.line(String::from_utf8_lossy(&line).trim_end_matches('\n')));
            }
        }
        events
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let name = self.name.take().unwrap_or_else(|| "message".to_owned());
            return self.data.take().map(|data| Event { name, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (field, &mut self.data) {
            ("event", _) => self.name = Some(value.to_owned()),
            ("data", Some(data)) => {
                data.push(' ');
                data.push_str(value);
            }
            ("data", none) => *none = Some(value.to_owned()),
            // Comments and fields that are not ours.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_however_their_bytes_come() {
        let text =
            "data: 1\n\ndata: {\ndata: }\n\n: hello\nevent: error\ndata:x\n\nevent: end\ndata:\n\n";
        let event = |name: &str, data: &str| Event {
            name: name.into(),
            data: data.into(),
        };
        let expected = [
            event("message", "1"),
            event("message", "{ }"),
            event("error", "x"),
            event("end", ""),
        ];
        for size in [1, 2, 7, text.len()] {
            let mut events = Events::default();
            let taken: Vec<_> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| events.take(chunk))
                .collect();
            assert_eq!(taken, expected, "{size} bytes at a time");
        }
    }
}
