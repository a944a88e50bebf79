use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::shortened;

/// A share in whole percent: `0%` to `100%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "String")]
pub struct Percent(u8);

/// Why a text is not a share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a share: write a whole number from 0 to 100 with %", shortened(.0))]
pub struct PercentError(String);

impl Percent {
    /// So many hundredths; more than 100 are 100.
    pub const fn new(hundredths: u8) -> Self {
        Self(if hundredths > 100 { 100 } else { hundredths })
    }

    /// In hundredths.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Self, PercentError> {
        let digits = text
            .strip_suffix('%')
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        digits
            .and_then(|digits| digits.parse().ok())
            .filter(|&hundredths| hundredths <= 100)
            .map(Self)
            .ok_or_else(|| PercentError(text.to_owned()))
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        format!("{}%", percent.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

/// Says what is expected where a number stands without its sign, the usual slip.
struct Text;

impl de::Visitor<'_> for Text {
    type Value = Percent;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a share in percent, such as `10%`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Percent, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_whole_number_of_percent() {
        for (text, hundredths) in [("0%", 0), ("10%", 10), ("100%", 100)] {
            let percent: Percent = serde_json::from_value(text.into()).unwrap();
            assert_eq!(percent.get(), hundredths);
            assert_eq!(String::from(percent), text);
        }
        for text in [
            "", "%", "10", "101%", "256%", "-1%", "+1%", "1.5%", "10 %", "10%%",
        ] {
            assert!(text.parse::<Percent>().is_err(), "{text:?}");
        }
        let number = serde_json::from_str::<Percent>("10").unwrap_err();
        assert!(number.to_string().contains("`10%`"), "{number}");
    }
}
