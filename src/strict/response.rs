//! What is refused of a server's response, beside what its reader refuses anyway.

/// Writes the table down once: name, source, what is refused.
macro_rules! rules {
    ($($name:ident => $source:literal, $text:literal;)*) => {
        /// A rule that a response broke.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ResponseRule {
            $(#[doc = $text] #[doc = ""] #[doc = concat!("Source: ", $source, ".")] $name,)*
        }

        impl ResponseRule {
            /// What is refused, and where the rule comes from.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => concat!($text, " (", $source, ")"),)* }
            }
        }
    };
}

rules! {
    CodingUnknown => "RFC 9112 section 6.1", "A Transfer-Encoding other than `chunked`: where the body ends is anyone's guess.";
    CodingRepeated => "RFC 9112 section 6.1", "Transfer-Encoding more than once.";
    CodingInOld => "RFC 9112 section 6.1", "Transfer-Encoding in HTTP/1.0.";
    InterimMany => "RFC 9110 section 15.2", "More than 16 interim responses before the final one.";
}

/// A server has little to say before its response; without a limit it could say it for ever.
pub const MOST_INTERIM: u8 = 16;

/// Checks the Transfer-Encoding lines of a response.
///
/// # Errors
/// The first rule that they break.
pub fn check_codings<'a>(
    lines: impl IntoIterator<Item = &'a [u8]>,
    is_current: bool,
) -> Result<(), ResponseRule> {
    let mut lines = lines.into_iter();
    let Some(coding) = lines.next() else {
        return Ok(());
    };
    if !is_current {
        return Err(ResponseRule::CodingInOld);
    }
    if lines.next().is_some() {
        return Err(ResponseRule::CodingRepeated);
    }
    if coding.eq_ignore_ascii_case(b"chunked") {
        Ok(())
    } else {
        Err(ResponseRule::CodingUnknown)
    }
}

/// One number for lengths that agree, which is how servers' lists and repetitions may be read (RFC 9110 section 8.6);
/// none where one plain line says it already.
pub fn one_length<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let mut lines = lines.into_iter();
    let first = lines.next()?;
    let member = first.split(|&byte| byte == b',').next()?.trim_ascii();
    (lines.next().is_some() || member.len() != first.len()).then_some(member)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_chunked_is_a_coding() {
        let check = |lines: &[&'static str], is_current| {
            check_codings(lines.iter().map(|line| line.as_bytes()), is_current)
        };
        assert_eq!(check(&[], false), Ok(()));
        assert_eq!(check(&["Chunked"], true), Ok(()));
        for (lines, is_current, rule) in [
            (&["chunked"][..], false, ResponseRule::CodingInOld),
            (&["chunked", "chunked"], true, ResponseRule::CodingRepeated),
            (&["gzip, chunked"], true, ResponseRule::CodingUnknown),
            (&[""], true, ResponseRule::CodingUnknown),
        ] {
            assert_eq!(check(lines, is_current), Err(rule), "{lines:?}");
        }
    }

    #[test]
    fn lengths_that_agree_are_one() {
        let one = |lines: &[&'static str]| one_length(lines.iter().map(|line| line.as_bytes()));
        assert_eq!(one(&[]), None);
        assert_eq!(one(&["5"]), None);
        assert_eq!(one(&["5, 5"]), Some(&b"5"[..]));
        assert_eq!(one(&["5", "5"]), Some(&b"5"[..]));
    }
}
