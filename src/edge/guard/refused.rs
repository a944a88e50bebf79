use crate::ports::client_connection::RefusedHead;

/// What can be said in the log about a message that was not passed on.
pub(super) fn head(message: &[u8]) -> RefusedHead {
    let message = message.trim_ascii_start();
    let mut lines = message.split(|&byte| byte == b'\n');
    let text = |bytes: &[u8], longest: usize| {
        let bytes = bytes.trim_ascii();
        String::from_utf8_lossy(bytes.get(..longest).unwrap_or(bytes)).into_owned()
    };
    let line = lines.next().unwrap_or_default();
    let mut words = line
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty());
    let mut head = RefusedHead {
        method: text(words.next().unwrap_or_default(), 32),
        target: text(words.next().unwrap_or_default(), 1024),
        ..RefusedHead::default()
    };
    for line in lines.take_while(|line| !line.trim_ascii().is_empty()) {
        let mut halves = line.splitn(2, |&byte| byte == b':');
        let (name, value) = (halves.next().unwrap_or_default(), halves.next());
        let (seen, longest) = if name.eq_ignore_ascii_case(b"host") {
            (&mut head.host, 256)
        } else if name.eq_ignore_ascii_case(b"user-agent") {
            (&mut head.user_agent, 512)
        } else {
            continue;
        };
        if seen.is_empty() {
            *seen = text(value.unwrap_or_default(), longest);
        }
    }
    head
}
