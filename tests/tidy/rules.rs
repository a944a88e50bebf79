//! The rules, each a function from a source to its problems, and a test that each of them can fail.

use super::source::Source;

/// One line for each: place, what is wrong, and what to do where that is not plain.
pub(crate) type Problems = Vec<String>;

/// A module may use those of its own line's right and below, never above; a new top-level module needs a place here.
/// Modules of one line do not use one another, except in the vocabulary.
const LAYERS: [&[&str]; 11] = [
    &["cli"],
    &["app"],
    &["config"],
    &["edge", "proxy", "health", "control"],
    &["discovery", "fleet"],
    &["controller"],
    &["store"],
    &["ports"],
    &["clock"],
    &["domain"],
    &["spec", "change", "nginx", "strict"],
];
const VOCABULARY: usize = LAYERS.len() - 1;

/// Crates and modules that do I/O, read a clock or throw dice.
const IMPURE: [&str; 14] = [
    "tokio",
    "pingora",
    "pingora_core",
    "pingora_proxy",
    "pingora_load_balancing",
    "axum",
    "hyper",
    "rusqlite",
    "ureq",
    "rand",
    "fs",
    "process",
    "thread",
    "RandomState",
];

/// Never part of our names, in CamelCase or snake_case, with or without a plural s.
const FORBIDDEN: [&str; 7] = [
    "backend", "cluster", "endpoint", "manager", "helper", "util", "peer",
];
/// Never part of our type names.
const FORBIDDEN_IN_TYPES: [&str; 2] = ["data", "info"];

/// Names that others gave: where they may stand, and whose they are.
const THEIRS: [(&str, &str); 17] = [
    ("", "HttpPeer"),              // pingora_core
    ("", "http_peer"),             // a variable for it
    ("", "peer"),                  // pingora_core::upstreams::peer, and a variable for an HttpPeer
    ("", "Peer"),                  // pingora_core: the trait of HttpPeer
    ("", "PeerOptions"),           // pingora_core
    ("", "upstream_peer"),         // pingora_proxy: a phase of ProxyHttp
    ("", "peer_addr"),             // std::net, pingora_core
    ("", "peer_certificates"),     // rustls
    ("", "Info"),                  // log::LevelFilter
    ("", "hyper_util"),            // a crate
    ("", "tokio_util"),            // a crate
    ("src/ports", "utils"),        // pingora_core::utils
    ("", "PhantomData"),           // std::marker
    ("src/store", "PushInfo"),     // redis: a message that nobody asked for
    ("src/control/tests", "Data"), // hyper::body::Body: the type of its chunks
    ("", "InvalidData"),           // std::io::ErrorKind
    ("src/health", "Backend"),     // pingora_load_balancing: the argument of HealthCheck::check
];

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;

pub(crate) fn import_direction(source: &Source) -> Problems {
    let module = source.module();
    // lib.rs and main.rs stand above all.
    let Some(own) = module.first() else {
        return Vec::new();
    };
    let Some(layer) = layer_of(own) else {
        return vec![format!(
            "{}: `{own}` has no place in the layers of tests/tidy/rules.rs",
            source.path
        )];
    };
    let allowed = |used: &str| {
        used == *own
            || layer_of(used)
                .is_some_and(|other| other > layer || (other == layer && layer == VOCABULARY))
    };
    let wrong = top_level_modules_used(source)
        .into_iter()
        .filter(|(_, used)| !allowed(used));
    wrong
        .map(|(line, used)| format!("{}:{line}: `{own}` must not use `{used}`", source.path))
        .collect()
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The first segment after `crate::`, or after as many `super::` as lead there, outside test code.
fn top_level_modules_used(source: &Source) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    let mut inline_modules: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < source.tokens.len() {
        match source.text(at) {
            "{" => inline_modules.push(at >= 2 && source.text(at - 2) == "mod"),
            "}" => drop(inline_modules.pop()),
            "crate" if !source.tokens[at].test => used.extend(first_segments(source, at + 1)),
            "super" if !source.tokens[at].test => {
                let depth =
                    source.module().len() + inline_modules.iter().filter(|inline| **inline).count();
                let mut climbed = 1;
                while source.matches(at, &["super", ":", ":", "super"]) {
                    climbed += 1;
                    at += 3;
                }
                if climbed >= depth {
                    used.extend(first_segments(source, at + 1));
                }
            }
            _ => {}
        }
        at += 1;
    }
    used
}

/// What follows `::` at `at`: one name, or those that begin an arm of `{a::b, c}`.
fn first_segments(source: &Source, at: usize) -> Vec<(usize, String)> {
    if !source.matches(at, &[":", ":"]) {
        return Vec::new();
    }
    let first = at + 2;
    let name = |at: usize| (source.tokens[at].line, source.text(at).to_owned());
    if source.text(first) != "{" {
        return vec![name(first)];
    }
    let mut names = Vec::new();
    let mut depth = 0_usize;
    for at in first..source.closing(first) {
        match source.text(at) {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 1 && ["{", ","].contains(&source.text(at)) && source.tokens[at + 1].identifier {
            names.push(name(at + 1));
        }
    }
    names
}

pub(crate) fn purity(source: &Source) -> Problems {
    if !matches!(
        source.module().first(),
        Some(&("domain" | "spec" | "change" | "nginx"))
    ) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    for (at, token) in source
        .tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.identifier && !token.test)
    {
        let in_path = source.matches(at + 1, &[":", ":"]) || (at > 0 && source.text(at - 1) == ":");
        if in_path && (IMPURE.contains(&token.text.as_str()) || token.text == "now") {
            problems.push(format!(
                "{}:{}: `{}` in pure code; take it as an argument",
                source.path, token.line, token.text
            ));
        }
    }
    problems
}

pub(crate) fn words(source: &Source) -> Problems {
    let mut problems = Vec::new();
    for token in source.tokens.iter().filter(|token| token.identifier) {
        let theirs = THEIRS
            .iter()
            .any(|(place, name)| token.text == *name && source.path.starts_with(place));
        if let Some(word) = forbidden_word(&token.text).filter(|_| !theirs) {
            problems.push(format!(
                "{}:{}: `{}` says `{word}`; see the words in ARCHITECTURE.md",
                source.path, token.line, token.text
            ));
        }
    }
    problems
}

fn forbidden_word(name: &str) -> Option<String> {
    let is_type = name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase);
    segments(name).into_iter().find(|segment| {
        let word = segment.strip_suffix('s').unwrap_or(segment);
        FORBIDDEN.contains(&word) || (is_type && FORBIDDEN_IN_TYPES.contains(&word))
    })
}

/// `HttpPeer` and `http_peer` -> `["http", "peer"]`
fn segments(name: &str) -> Vec<String> {
    let mut segments = vec![String::new()];
    let mut after_lower = false;
    for letter in name.chars() {
        if letter == '_' || (letter.is_uppercase() && after_lower) {
            segments.push(String::new());
        }
        if letter != '_' {
            segments.last_mut().unwrap().extend(letter.to_lowercase());
        }
        after_lower = letter.is_lowercase() || letter.is_numeric();
    }
    segments
}

pub(crate) fn file_length(source: &Source) -> Problems {
    let limit = match source.path.as_str() {
        "src/main.rs" => 45,
        "src/app.rs" => 200,
        _ => FILE_LINES,
    };
    let over = source.lines > limit;
    over.then(|| format!("{}: {} lines, at most {limit}", source.path, source.lines))
        .into_iter()
        .collect()
}

pub(crate) fn function_length(source: &Source) -> Problems {
    let mut problems = Vec::new();
    for at in source
        .find(&["fn"])
        .filter(|at| source.tokens[at + 1].identifier)
    {
        let body = (at..source.tokens.len()).find(|&at| ["{", ";"].contains(&source.text(at)));
        let Some(body) = body.filter(|&at| source.text(at) == "{") else {
            continue;
        };
        let first = source.tokens[at].line;
        let lines = source.tokens[source.closing(body)].line - first + 1;
        if lines > FUNCTION_LINES {
            let name = source.text(at + 1);
            problems.push(format!(
                "{}:{first}: `{name}` has {lines} lines, at most {FUNCTION_LINES}",
                source.path
            ));
        }
    }
    problems
}

pub(crate) fn giving_up(source: &Source) -> Problems {
    let calls = source
        .find(&[".", "unwrap", "("])
        .chain(source.find(&[".", "expect", "("]));
    let calls = calls
        .map(|at| &source.tokens[at + 1])
        .filter(|token| !token.test);
    calls
        .map(|token| {
            format!(
                "{}:{}: `{}(`; return an error",
                source.path, token.line, token.text
            )
        })
        .collect()
}

pub(crate) fn unfinished(source: &Source) -> Problems {
    let marks = [
        &["todo", "!"][..],
        &["unimplemented", "!"],
        &["#", "[", "ignore"],
    ];
    let places = marks
        .iter()
        .flat_map(|mark| source.find(mark).map(|at| (at, mark.concat())));
    places
        .map(|(at, mark)| format!("{}:{}: `{mark}`", source.path, source.tokens[at].line))
        .collect()
}

pub(crate) fn document_length(name: &str, text: &str, limit: usize) -> Problems {
    let lines = text.lines().count();
    (lines > limit)
        .then(|| format!("{name}: {lines} lines, at most {limit}"))
        .into_iter()
        .collect()
}

/// Named: as a whole word, since `log` must not be found in `catalogue`.
pub(crate) fn dependencies_are_named(manifest: &str, document: &str) -> Problems {
    let words: Vec<&str> = document
        .split(|letter: char| !letter.is_alphanumeric() && !"-_".contains(letter))
        .collect();
    let mut section = "";
    let mut problems = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let name = line.split_once(" = ").map(|(name, _)| name);
        let name = name.filter(|name| section.ends_with("dependencies]") && !name.starts_with('#'));
        if let Some(name) = name.filter(|name| !words.contains(name)) {
            problems.push(format!(
                "Cargo.toml: `{name}` has no line in ARCHITECTURE.md"
            ));
        }
    }
    problems
}

#[cfg(test)]
#[path = "rules_can_fail.rs"]
mod rules_can_fail;
