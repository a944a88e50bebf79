//! Where we do not do what was recorded, and why. Nothing else is exempt, and a row that is as recorded may
//! not stand here.

/// A row that is answered in another way.
#[derive(Debug)]
pub(crate) struct Deviation {
    pub(crate) file: &'static str,
    pub(crate) line: usize,
    pub(crate) ours: Ours,
    pub(crate) reason: &'static str,
}

/// What we answer instead.
#[derive(Debug)]
pub(crate) enum Ours {
    /// Status, content type and body.
    Answer(u16, &'static str, &'static str),
    /// An origin of this one's group answers, in these words.
    Served(&'static str),
}

pub(crate) fn find(file: &str, line: usize) -> Option<&'static Deviation> {
    of(file).find(|deviation| deviation.line == line)
}

pub(crate) fn of(file: &str) -> impl Iterator<Item = &'static Deviation> {
    DEVIATIONS
        .iter()
        .filter(move |deviation| deviation.file == file)
}

const fn switch(line: usize, ours: Ours, reason: &'static str) -> Deviation {
    Deviation {
        file: "switch_upstream",
        line,
        ours,
        reason,
    }
}

const fn ups(line: usize, body: &'static str, reason: &'static str) -> Deviation {
    Deviation {
        file: "ups",
        line,
        ours: Ours::Answer(200, "text/plain", body),
        reason,
    }
}

const fn text(body: &'static str) -> Ours {
    Ours::Answer(200, "application/octet-stream", body)
}

const fn bad(body: &'static str) -> Ours {
    Ours::Answer(400, "text/plain", body)
}

const NIL: &str = "the group that answered so far is named, as the article shows it, not nil";
const UNKNOWN_GROUP: &str =
    "a group that does not exist is refused; the original stored it, and the host got 502";
const NOT_STORED: &str = "what was refused before was not stored, and the old target serves";
const BOOLEAN: &str = "a parameter without a value is refused; the original stored the boolean true, and the host got 500";
const ARRAY: &str =
    "a parameter that stands twice is refused; the original failed and closed the connection";
const FIRST_NAME: &str =
    "the refusal names the server that was asked for, not the first of its group";
const UNKNOWN_SERVER: &str =
    "a server that no group has is an error; the original said success and kept it for ever";
const NOT_KEPT: &str = "a server that no group has is not kept";
const NOTHING_PENDING: &str =
    "a change is in effect when it is answered, so that no 0 is ever pending";

const DEVIATIONS: &[Deviation] = &[
    switch(
        4,
        text(
            "Current upstream is :default_upstream\nlb.example change upstream from default_upstream to lua_upstream\n",
        ),
        NIL,
    ),
    switch(
        7,
        bad(
            "route `host:lb.example` leads to `nosuch`: there is no upstream of that name, and it is no address\n",
        ),
        UNKNOWN_GROUP,
    ),
    switch(
        8,
        Ours::Served("8081 GET / HTTP/1.1 host=lb.example xri=127.0.0.1 xff=127.0.0.1 conn=\n"),
        NOT_STORED,
    ),
    switch(
        9,
        text(
            "Current upstream is :default_upstream\nlb.example change upstream from default_upstream to 127.0.0.1:28083\n",
        ),
        NOT_STORED,
    ),
    switch(
        13,
        bad("write `upstream=` and a group or `ip:port`\n"),
        BOOLEAN,
    ),
    switch(
        14,
        Ours::Served("8083 / HTTP/1.1 host=lb.example conn=\n"),
        NOT_STORED,
    ),
    switch(15, bad("`upstream` stands twice\n"), ARRAY),
    switch(
        16,
        text(
            "Current upstream is :127.0.0.1:28083\nlb.example change upstream from 127.0.0.1:28083 to lua_upstream\n",
        ),
        NOT_STORED,
    ),
    ups(
        13,
        "{\"msg\":\"You cat not set peer down: 127.0.0.1:28082\",\"data\":[\"127.0.0.1:28082\"],\"code\":\"E00001\"}\n",
        FIRST_NAME,
    ),
    ups(
        16,
        "{\"msg\":\"server not found: 9.9.9.9:99\",\"data\":[\"9.9.9.9:99\"],\"code\":\"E00001\"}\n",
        UNKNOWN_SERVER,
    ),
    ups(
        17,
        "{\"msg\":\"OK\",\"data\":{\"127.0.0.1:28081\":1,\"127.0.0.1:28083\":1},\"code\":\"A00001\"}\n",
        NOT_KEPT,
    ),
    ups(
        19,
        "{\"msg\":\"OK\",\"data\":{\"127.0.0.1:28083\":1},\"code\":\"A00001\"}\n",
        NOTHING_PENDING,
    ),
    ups(
        21,
        "{\"msg\":\"OK\",\"data\":{\"127.0.0.1:28083\":1},\"code\":\"A00001\"}\n",
        NOT_KEPT,
    ),
    ups(
        25,
        "{\"msg\":\"OK\",\"data\":{},\"code\":\"A00001\"}\n",
        NOT_KEPT,
    ),
    ups(
        26,
        "{\"msg\":\"server not found: 8.8.8.8:88\",\"data\":[\"8.8.8.8:88\"],\"code\":\"E00001\"}\n",
        UNKNOWN_SERVER,
    ),
    ups(
        28,
        "{\"msg\":\"OK\",\"data\":{},\"code\":\"A00001\"}\n",
        NOT_KEPT,
    ),
    ups(
        29,
        "{\"msg\":\"server not found: unix:\\/tmp\\/x.sock\",\"data\":[\"unix:\\/tmp\\/x.sock\"],\"code\":\"E00001\"}\n",
        UNKNOWN_SERVER,
    ),
    ups(
        30,
        "{\"msg\":\"server not found: true\",\"data\":[true],\"code\":\"E00001\"}\n",
        UNKNOWN_SERVER,
    ),
    ups(
        31,
        "{\"msg\":\"server not found: a\",\"data\":[\"a\"],\"code\":\"E00001\"}\n",
        UNKNOWN_SERVER,
    ),
];
