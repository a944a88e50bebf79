//! JSON as lua-cjson writes it, in a fixed order of keys: the scripts' own order changed with each start.

/// `{"msg":…,"data":…,"code":…}` and the end of the line; `data` is JSON already.
pub(super) fn line(msg: &str, data: &str, code: &str) -> String {
    let (msg, code) = (text(msg), text(code));
    format!("{{\"msg\":{msg},\"data\":{data},\"code\":{code}}}\n")
}

/// A text. `/` and DEL are escaped too.
pub(super) fn text(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace('/', "\\/").replace('\u{7f}', "\\u007f")
}

/// A list; an empty one is `{}`, as Lua cannot tell it from an empty table.
pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    let items: Vec<String> = items.into_iter().collect();
    match items.as_slice() {
        [] => "{}".to_owned(),
        items => format!("[{}]", items.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_cjson_writes() {
        let data = list(["unix:/tmp/x.sock", "a\"\\\n\u{1}\u{7f}é"].map(text));
        assert_eq!(
            line("do none.", &data, "E00001"),
            "{\"msg\":\"do none.\",\"data\":[\"unix:\\/tmp\\/x.sock\",\"a\\\"\\\\\\n\\u0001\\u007fé\"],\"code\":\"E00001\"}\n"
        );
        assert_eq!(list([]), "{}");
    }
}
