use serde_json::Value;

/// The live picture as a table.
pub(super) fn status(answer: &Value) {
    println!(
        "node {}  revision {}  {}",
        text(answer, "node"),
        text(answer, "revision"),
        text(answer, "file")
    );
    let mut rows = vec![row([
        "UPSTREAM",
        "SERVER",
        "STATE",
        "ADMIN",
        "HEALTH",
        "WEIGHT",
        "IN FLIGHT",
        "REQUESTS",
        "FAILURES",
        "WHY",
    ])];
    for upstream in list(answer, "upstreams") {
        let name = text(upstream, "name");
        for server in list(upstream, "servers") {
            let live = server.get("status").unwrap_or(&Value::Null);
            let admin = text(server, "admin");
            rows.push(server_row(
                &name,
                &text(server, "address"),
                &admin,
                server,
                live,
            ));
            // What a name stands for. The name's own words hold for each: changes address the name.
            let resolution = live.get("resolution").unwrap_or(&Value::Null);
            for child in list(resolution, "servers") {
                let live = child.get("status").unwrap_or(&Value::Null);
                let address = format!("  {}", text(child, "address"));
                rows.push(server_row(&name, &address, &admin, child, live));
            }
        }
    }
    table(&rows);
}

fn server_row(
    upstream: &str,
    address: &str,
    admin: &str,
    server: &Value,
    live: &Value,
) -> Vec<String> {
    let weight = if is_backup(server) {
        format!("{} (backup)", text(server, "weight"))
    } else {
        text(server, "weight")
    };
    vec![
        upstream.to_owned(),
        address.to_owned(),
        text(live, "state"),
        admin.to_owned(),
        text(live, "health"),
        weight,
        text(live, "in_flight"),
        text(live, "requests"),
        text(live, "failures"),
        text(live, "reason"),
    ]
}

/// The nodes as a table, and what they see differently.
pub(super) fn fleet(answer: &Value) {
    let header = [
        "NODE", "STATE", "REVISION", "LAG", "CONTACT", "CLOCK", "VERSION", "ADDRESS",
    ];
    let mut rows = vec![row(header)];
    for node in list(answer, "nodes") {
        let cell = |key| text(node, key);
        let seconds = |key| node.get(key).and_then(Value::as_f64).unwrap_or_default();
        rows.push(vec![
            cell("id"),
            cell("state"),
            cell("applied"),
            cell("lag"),
            format!("{:.1} s ago", seconds("contact_seconds")),
            format!("{:+.3} s", seconds("clock_difference_seconds")),
            cell("version"),
            cell("address"),
        ]);
    }
    table(&rows);
    for found in list(answer, "disagreements") {
        let nodes = |key| {
            let nodes = list(found, key).into_iter().map(plain);
            nodes.collect::<Vec<_>>().join(", ")
        };
        println!(
            "{} {}: down on {}, not on {}",
            text(found, "upstream"),
            text(found, "server"),
            nodes("down_on"),
            nodes("not_down_on")
        );
    }
}

/// The history as a table, the newest first.
pub(super) fn history(answer: &Value) {
    let mut rows = vec![row([
        "REVISION", "TIME", "AUTHOR", "SOURCE", "REASON", "CHANGES",
    ])];
    let revisions = answer
        .as_array()
        .map_or_else(|| list(answer, "revisions"), |list| list.iter().collect());
    for revision in revisions {
        let paths: Vec<String> = list(revision, "diff")
            .into_iter()
            .map(|entry| text(entry, "path"))
            .collect();
        let more = paths.len().saturating_sub(MOST_PATHS);
        let mut changes = paths
            .into_iter()
            .take(MOST_PATHS)
            .collect::<Vec<_>>()
            .join(" ");
        if more > 0 {
            changes.push_str(&format!(" and {more} more"));
        }
        let cell = |key| text(revision, key);
        rows.push(vec![
            cell("number"),
            cell("time"),
            cell("author"),
            cell("source"),
            cell("reason"),
            changes,
        ]);
    }
    table(&rows);
}

const MOST_PATHS: usize = 3;

/// Each value that differs, before and after.
pub(super) fn difference(answer: &Value) {
    for entry in list(answer, "diff") {
        let side = |key| entry.get(key).unwrap_or(&Value::Null).to_string();
        println!(
            "{}: {} -> {}",
            text(entry, "path"),
            side("before"),
            side("after")
        );
    }
}

/// What a change did or would do.
pub(super) fn change(answer: &Value) {
    difference(answer);
    for warning in list(answer, "warnings")
        .into_iter()
        .chain(list(answer, "rails"))
    {
        println!("warning: {}", plain(warning));
    }
    let is_preview =
        answer.get("diff").is_some() && answer.get("revision").is_none_or(Value::is_null);
    match (is_preview, list(answer, "diff").is_empty()) {
        (true, true) => println!("nothing would change"),
        (true, false) => println!("(dry run: nothing was changed)"),
        (false, _) => println!("done"),
    }
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Columns as wide as their widest cell; the last one as it comes.
fn table(rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns).filter_map(width).collect();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn list<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .collect()
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).map_or_else(String::new, plain)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_backup(server: &Value) -> bool {
    server
        .get("backup")
        .and_then(Value::as_bool)
        .unwrap_or(false)
}
