use std::borrow::Cow;

/// A text as an error quotes it: no more of it than tells which one is meant.
pub fn shortened(text: &str) -> Cow<'_, str> {
    let end = text.char_indices().nth(LONGEST).map(|(end, _)| end);
    match end.and_then(|end| text.get(..end)) {
        None => Cow::Borrowed(text),
        Some(head) => Cow::Owned(format!("{head}…")),
    }
}

/// In characters.
const LONGEST: usize = 100;

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_text_of_up_to_a_hundred_characters_is_quoted_whole() {
        assert_eq!(shortened(""), "");
        assert_eq!(shortened(&"ü".repeat(100)), "ü".repeat(100));
        assert_eq!(shortened(&"ü".repeat(101)), format!("{}…", "ü".repeat(100)));
    }
}
