use crate::ports::legacy::percent_decoded;

/// The parameters of a query or a form, as OpenResty's `get_uri_args` reads them.
#[derive(Debug, Default)]
pub(super) struct Arguments(Vec<(String, Option<String>)>);

/// What was given for one name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given<'a> {
    /// Not there.
    Nothing,
    /// `name` without a `=`: a boolean to the scripts.
    Flag,
    /// `name=text`; the text may be empty.
    Text(&'a str),
    /// Several times: an array to the scripts.
    Several,
}

impl Arguments {
    /// `+` is a space, `%XX` a byte; of more than [`MOST`] the rest is not looked at.
    pub(super) fn parse(text: &[u8]) -> Self {
        let pieces = text.split(|&byte| byte == b'&');
        let pieces = pieces.filter(|piece| !piece.is_empty()).take(MOST);
        Self(pieces.map(argument).collect())
    }

    /// What was given first.
    pub(super) fn first(&self, name: &str) -> Given<'_> {
        let mut given = self.0.iter().filter(|(other, _)| other == name);
        match given.next() {
            None => Given::Nothing,
            Some((_, None)) => Given::Flag,
            Some((_, Some(text))) => Given::Text(text),
        }
    }

    /// Every text that was given for a name.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let given = self.0.iter().filter(move |(other, _)| other == name);
        given.filter_map(|(_, text)| text.as_deref())
    }

    pub(super) fn get(&self, name: &str) -> Given<'_> {
        let mut found = self.0.iter().filter(|(other, _)| other == name);
        match (found.next(), found.next()) {
            (None, _) => Given::Nothing,
            (Some(_), Some(_)) => Given::Several,
            (Some((_, None)), None) => Given::Flag,
            (Some((_, Some(text))), None) => Given::Text(text),
        }
    }
}

/// The limit of `get_uri_args`.
const MOST: usize = 100;

fn argument(piece: &[u8]) -> (String, Option<String>) {
    let mut halves = piece.splitn(2, |&byte| byte == b'=');
    let name = decoded(halves.next().unwrap_or_default());
    (name, halves.next().map(decoded))
}

fn decoded(text: &[u8]) -> String {
    let spaced: Vec<u8> = text
        .iter()
        .map(|&byte| if byte == b'+' { b' ' } else { byte })
        .collect();
    String::from_utf8_lossy(&percent_decoded(&spaced)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_an_empty_text_and_an_array_are_told_apart() {
        let arguments = Arguments::parse(b"a&b=&c=1&c=2&&d=x%3Ay+z=%&%65=f");
        let get = |name| arguments.get(name);
        assert_eq!(get("a"), Given::Flag);
        assert_eq!(get("b"), Given::Text(""));
        assert_eq!(get("c"), Given::Several);
        assert_eq!(get("d"), Given::Text("x:y z=%"));
        assert_eq!(get("e"), Given::Text("f"));
        assert_eq!(get("A"), Given::Nothing);
    }

    #[test]
    fn the_hundred_and_first_argument_is_not_looked_at() {
        let text = format!("{}b=1", "a&".repeat(100));
        assert_eq!(Arguments::parse(text.as_bytes()).get("b"), Given::Nothing);
    }
}
