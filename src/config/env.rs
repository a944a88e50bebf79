use super::reader::Reader;
use super::tree::{Content, Node};
use crate::spec::shortened;

/// Replaces `${NAME}` and `${NAME:-default}` in every value. A variable that is not set and has no
/// default is a problem. As in a shell, the default also stands in for an empty one.
pub(super) fn expand(
    node: &mut Node,
    variable: &dyn Fn(&str) -> Option<String>,
    reader: &mut Reader,
) {
    match &mut node.content {
        Content::Scalar { text, plain } if text.contains("${") => match expanded(text, variable) {
            Ok(value) => {
                *text = value;
                // A host called 12345 is still a text.
                *plain = false;
            }
            Err(message) => {
                // Told once: whatever is read from here does not fit either.
                node.pruned = true;
                reader.note_hole(node.at, message);
            }
        },
        Content::Scalar { .. } => {}
        Content::List(items) => items
            .iter_mut()
            .for_each(|item| expand(item, variable, reader)),
        Content::Map(entries) => entries
            .iter_mut()
            .for_each(|entry| match entry.key.as_str() {
                "source" => expand_source(&mut entry.value, variable, reader),
                _ => expand(&mut entry.value, variable, reader),
            }),
    }
}

/// A token stays what names it: what it is would stand in the history. That it is set is looked at all the same.
fn expand_source(node: &mut Node, variable: &dyn Fn(&str) -> Option<String>, reader: &mut Reader) {
    let Content::Map(entries) = &mut node.content else {
        return expand(node, variable, reader);
    };
    for entry in entries {
        match &entry.value.content {
            Content::Scalar { text, .. } if entry.key == "token" => {
                if let Err(message) = expanded(text, variable) {
                    entry.value.pruned = true;
                    // There is no default for a secret.
                    let message = message.split(';').next().unwrap_or_default();
                    reader.note_hole(entry.value.at, message);
                }
            }
            _ => expand(&mut entry.value, variable, reader),
        }
    }
}

fn expanded(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, behind) = after
            .split_once('}')
            .ok_or_else(|| format!("`${{{}` has no closing `}}`", shortened(after)))?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_variable_name(name) {
            return Err(format!(
                "`${{{}}}` names no variable: write `${{NAME}}` or `${{NAME:-default}}`",
                shortened(inside)
            ));
        }
        let set = variable(name).filter(|value| default.is_none() || !value.is_empty());
        let value = set.or_else(|| default.map(str::to_owned));
        let value = value.ok_or_else(|| {
            let name = shortened(name);
            format!("the environment has no `{name}`; `${{{name}:-default}}` gives a default")
        })?;
        done.push_str(before);
        done.push_str(&value);
        rest = behind;
    }
    done.push_str(rest);
    Ok(done)
}

/// What POSIX calls a name (XBD section 3.216).
fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
