//! One connection: a message is sent as it stands, and what comes back is read.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::frames::{self, Frame};
use super::message::{Answer, Expected, Message};
use crate::support::{read_announced_body, read_head};

/// What a client was told.
pub(crate) struct Conversation {
    pub(crate) answers: Vec<Answer>,
    pub(crate) is_closed: bool,
}

impl Conversation {
    /// Sends the message and reads until every answer is there, the other side closes, or `patience` is over.
    pub(crate) fn hold(to: SocketAddr, message: &Message, patience: Duration) -> Self {
        // What is passed on leaves the connection open: nobody waits for its end.
        let enough = match &message.expected {
            Expected::Forwarded(arrivals) => arrivals.len(),
            Expected::Refused(_) | Expected::Broken(_) | Expected::Both(..) => usize::MAX,
        };
        Self::of(to, message, patience, enough)
    }

    /// The same, with so many answers for enough.
    pub(crate) fn of(to: SocketAddr, message: &Message, patience: Duration, enough: usize) -> Self {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(patience)).unwrap();
        stream.set_write_timeout(Some(patience)).unwrap();
        // The rest may be refused while it is still being sent.
        let _refused_early = stream.write_all(&message.bytes);
        if message.is_http1() {
            http1(stream, message, enough)
        } else {
            http2(stream, enough)
        }
    }
}

fn http1(stream: TcpStream, message: &Message, enough: usize) -> Conversation {
    let mut reader = BufReader::new(stream);
    let mut answers = Vec::new();
    let is_head = message.bytes.starts_with(b"HEAD ");
    while answers.len() < enough {
        let Ok(Some((line, headers))) = read_head(&mut reader) else {
            break;
        };
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .unwrap_or(0);
        if (100..200).contains(&status) {
            continue;
        }
        let mut body = Vec::new();
        if !is_head {
            match read_announced_body(&mut reader, &headers) {
                Ok(Some(announced)) => body = announced,
                _ => drop(reader.read_to_end(&mut body)),
            }
        }
        answers.push(answer(status, &body));
    }
    let is_closed = answers.len() < enough && reader.fill_buf().is_ok_and(<[u8]>::is_empty);
    Conversation { answers, is_closed }
}

/// The reason stands in the first line of the bodies that we generate.
fn answer(status: u16, body: &[u8]) -> Answer {
    if status == 200 {
        return Answer::Ok;
    }
    let text = String::from_utf8_lossy(body);
    let first = text.lines().next().unwrap_or_default();
    let reason = first.split(' ').nth(1).unwrap_or_default().to_owned();
    Answer::Status(status, Cow::Owned(reason))
}

/// Reads frames until enough streams have ended, one has failed, or the connection is over.
fn http2(mut stream: TcpStream, enough: usize) -> Conversation {
    let (mut answers, mut status, mut body) = (Vec::new(), 0, Vec::new());
    let mut is_closed = false;
    while answers.len() < enough {
        let Some(frame) = Frame::read(&mut stream) else {
            is_closed = true;
            break;
        };
        match frame.kind {
            frames::HEADERS => status = frames::status(&frame.payload),
            frames::DATA => body.extend(&frame.payload),
            frames::RST_STREAM => {
                answers.push(Answer::Reset(frame.code(0)));
                break;
            }
            frames::GOAWAY => {
                answers.push(Answer::GoAway(frame.code(4)));
                break;
            }
            _ => {}
        }
        let is_end = matches!(frame.kind, frames::HEADERS | frames::DATA)
            && frame.flags & frames::END_STREAM != 0;
        if is_end {
            let answer = answer(status, &std::mem::take(&mut body));
            let is_ours = answer != Answer::Ok;
            answers.push(answer);
            if is_ours {
                break;
            }
        }
    }
    Conversation { answers, is_closed }
}
