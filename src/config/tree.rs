//! YAML as a tree whose nodes know their place in the file.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};
use serde_yaml::Value;

use super::{Mark, Problem};
use crate::spec::shortened;

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Mark,
    pub(super) content: Content,
    /// Whether something below was taken out because it could not be read, or the environment has
    /// no value for it.
    pub(super) pruned: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// A scalar; `plain` ones (without quotes) may stand for numbers, booleans and nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Mark,
    pub(super) value: Node,
}

/// Parses a file. Stops at the first fault: after it nothing is where it seems to be.
pub(super) fn parse(bytes: &[u8]) -> Result<Node, Problem> {
    let text = text(bytes)?;
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        if event == Event::StreamEnd {
            break;
        }
        builder.take(event, span)?;
    }
    let empty = || problem(Mark { line: 1, column: 1 }, "the file is empty");
    builder.root.ok_or_else(empty)
}

/// Depth of nesting. The documented keys need 7; the limit keeps recursion far from the stack's end.
const DEEPEST: usize = 32;

/// Bytes that a tree may take, aliases expanded: four times the largest file, so that only copies of
/// copies reach it.
const LARGEST_TREE: usize = 256 << 20;

/// What a node takes besides its text, roughly.
const NODE: usize = 64;

impl Node {
    /// The entries of a mapping; none for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Whether this is `null`, `~` or nothing at all.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true } if is_null(text))
    }

    /// As a value without places.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Scalar { text, plain: true } => resolved(text),
            Content::Scalar { text, .. } => Value::String(text.clone()),
            Content::List(items) => Value::Sequence(items.iter().map(Self::value).collect()),
            Content::Map(entries) => {
                let pair = |entry: &Entry| (Value::String(entry.key.clone()), entry.value.value());
                Value::Mapping(entries.iter().map(pair).collect())
            }
        }
    }

    fn cost(&self) -> usize {
        let inside = match &self.content {
            Content::Scalar { text, .. } => text.len(),
            Content::List(items) => items.iter().map(Self::cost).sum(),
            Content::Map(entries) => {
                let cost = |entry: &Entry| entry.key.len() + entry.value.cost();
                entries.iter().map(cost).sum()
            }
        };
        NODE + inside
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// What a plain scalar stands for, by YAML's core schema (YAML 1.2.2 section 10.3.2): `off` and
/// `yes` are texts.
fn resolved(text: &str) -> Value {
    match text {
        _ if is_null(text) => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let radix = |prefix, radix| u64::from_str_radix(text.strip_prefix(prefix)?, radix).ok();
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return number.into();
    }
    if let Ok(number) = text.parse::<u64>() {
        return number.into();
    }
    if let Ok(number) = text.parse::<i64>() {
        return number.into();
    }
    let numeric = text.bytes().any(|b| b.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    match text.parse::<f64>() {
        Ok(number) if numeric => number.into(),
        _ => Value::String(text.to_owned()),
    }
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    spent: usize,
    root: Option<Node>,
}

/// A list or mapping that has not ended.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<(String, Mark)>,
    /// Where each key of a mapping stands.
    keys: HashMap<String, Mark>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let at = mark(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && !is_text(tag.as_deref(), at)?;
                let text = text.into_owned();
                self.put(node(at, Content::Scalar { text, plain }), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(at, Content::List(Vec::new()), anchor, tag.as_deref())
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(at, Content::Map(Vec::new()), anchor, tag.as_deref())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.put(open.node, open.anchor),
                None => Ok(()),
            },
            Event::Alias(anchor) => self.repeat(at, anchor),
            Event::DocumentStart(_) if self.root.is_some() => Err(problem(
                at,
                "a second document begins here: the file is one document",
            )),
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        at: Mark,
        content: Content,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), Problem> {
        is_text(tag, at)?;
        if self.open.len() >= DEEPEST {
            return Err(problem(at, format!("nested deeper than {DEEPEST} levels")));
        }
        self.open.push(Open {
            node: node(at, content),
            anchor,
            key: None,
            keys: HashMap::new(),
        });
        Ok(())
    }

    fn repeat(&mut self, at: Mark, anchor: usize) -> Result<(), Problem> {
        let Some(meant) = self.anchors.get(&anchor) else {
            return Err(problem(at, "this alias stands inside what it repeats"));
        };
        let cost = meant.cost();
        // Checked before the copy is made: a chain of aliases doubles in size with each.
        self.spend(at, cost)?;
        match self.anchors.get(&anchor).cloned() {
            Some(copy) => self.put(copy, 0),
            None => Ok(()),
        }
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.spend(node.at, node.cost())?;
            self.anchors.insert(anchor, node.clone());
        }
        self.spend(node.at, NODE)?;
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.content, open.key.take()) {
            (Content::List(items), _) => items.push(node),
            (Content::Map(entries), Some((key, at))) => entries.push(entry(key, at, node)),
            _ => open.key = Some(key(node, &mut open.keys)?),
        }
        Ok(())
    }

    fn spend(&mut self, at: Mark, cost: usize) -> Result<(), Problem> {
        self.spent += cost;
        if self.spent > LARGEST_TREE {
            return Err(problem(at, "too large, with its aliases written out"));
        }
        Ok(())
    }
}

fn node(at: Mark, content: Content) -> Node {
    Node {
        at,
        content,
        pruned: false,
    }
}

/// A value that is not written stands nowhere; it is shown at its key.
fn entry(key: String, at: Mark, mut value: Node) -> Entry {
    if matches!(&value.content, Content::Scalar { text, plain: true } if text.is_empty()) {
        value.at = at;
    }
    Entry { key, at, value }
}

fn key(node: Node, keys: &mut HashMap<String, Mark>) -> Result<(String, Mark), Problem> {
    let at = node.at;
    let Content::Scalar { text, .. } = node.content else {
        return Err(problem(at, "a key is a text, not a list or a mapping"));
    };
    match keys.insert(text.clone(), at) {
        Some(first) => Err(problem(
            at,
            format!(
                "`{}` is already set in line {}",
                shortened(&text),
                first.line
            ),
        )),
        None => Ok((text, at)),
    }
}

/// Whether a tag says that a plain scalar is a text. Tags of YAML's own types say nothing new.
fn is_text(tag: Option<&Tag>, at: Mark) -> Result<bool, Problem> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix == "str"),
        Some(tag) => Err(problem(at, {
            let tag = format!("{}{}", tag.handle, tag.suffix);
            format!("the tag `{}` means nothing here", shortened(&tag))
        })),
    }
}

/// The file's text, with what no YAML text contains refused: a parser would take NUL for the end.
fn text(bytes: &[u8]) -> Result<&str, Problem> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = end_of(bytes.get(..error.valid_up_to()).unwrap_or_default());
            return Err(problem(at, "not a text in UTF-8"));
        }
    };
    let stray = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}');
    match text.find(stray) {
        Some(index) => {
            let at = end_of(bytes.get(..index).unwrap_or_default());
            Err(problem(at, "a control character: this is no text file"))
        }
        None => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
    }
}

/// The place just after these bytes.
fn end_of(before: &[u8]) -> Mark {
    let before = String::from_utf8_lossy(before);
    let last = before.rsplit('\n').next().unwrap_or_default();
    Mark {
        line: before.matches('\n').count() + 1,
        column: last.chars().count() + 1,
    }
}

fn mark(marker: Marker) -> Mark {
    Mark {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

fn syntax(error: &ScanError) -> Problem {
    problem(
        mark(*error.marker()),
        format!("broken YAML: {}", error.info()),
    )
}

fn problem(at: Mark, message: impl Into<String>) -> Problem {
    Problem {
        at,
        message: message.into(),
    }
}
