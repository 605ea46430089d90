use super::*;

fn buffer(text: &str) -> BytesMut {
    BytesMut::from(text.as_bytes())
}

fn head(text: &str) -> Result<Option<(Head, Framing)>, Fault> {
    take_head(&mut buffer(text), 64 * 1024)
}

/// Everything that comes out of `text` when it arrives in pieces of `step` bytes; whether the body ended.
fn body(text: &str, step: usize) -> Result<(String, bool, bool), Fault> {
    let (mut read, mut whole, mut framing) = (BytesMut::new(), Vec::new(), None);
    let mut reusable = false;
    for piece in text.as_bytes().chunks(step) {
        read.extend_from_slice(piece);
        if framing.is_none() {
            let Some((head, found)) = take_head(&mut read, 1024)? else { continue };
            reusable = head.reusable;
            framing = Some(found);
        }
        let Some(framing) = &mut framing else { continue };
        loop {
            match framing.take(&mut read)? {
                Piece::Data(data) => whole.extend_from_slice(&data),
                Piece::More => break,
                Piece::End => return Ok((String::from_utf8(whole).unwrap(), true, reusable)),
            }
        }
    }
    Ok((String::from_utf8(whole).unwrap(), framing.is_some_and(|framing| framing.may_end_here()), reusable))
}

#[test]
fn a_head_is_read_whatever_its_case_and_spaces() {
    let (head, _) = head("HTTP/1.1 200 OK\r\nCONTENT-type:  application/json \r\nX-A: \r\n\r\n").unwrap().unwrap();
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(head.field("content-type"), Some("application/json"));
    assert_eq!((head.field("x-a"), head.field("x-b")), (Some(""), None));
}

#[test]
fn an_incomplete_head_waits_and_a_large_one_is_refused() {
    assert!(head("HTTP/1.1 200 OK\r\nA: b\r\n").unwrap().is_none());
    assert!(head("").unwrap().is_none());
    let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(70_000));
    assert_eq!(head(&long).unwrap_err(), Fault::HeadTooLarge);
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(200));
    assert_eq!(head(&many).unwrap_err(), Fault::HeadTooLarge);
}

#[test]
fn interim_answers_are_skipped_a_few_times() {
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let (found, ended, _) = body(&format!("{interim}{interim}{last}"), 7).unwrap();
    assert_eq!((found.as_str(), ended), ("ok", true));
    assert_eq!(head(&format!("{}{last}", interim.repeat(20))).unwrap_err(), Fault::NotHttp);
    assert_eq!(head("HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap_err(), Fault::NotHttp);
}

#[test]
fn a_body_is_the_same_however_its_bytes_arrive() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n, world!!!\r\n0\r\nT: 1\r\n\r\n";
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nhello, world!!!";
    let closing = "HTTP/1.1 200 OK\r\n\r\nhello, world!!!";
    for (text, reuse) in [(chunked, true), (length, true), (closing, false)] {
        for step in 1..text.len() {
            assert_eq!(body(text, step).unwrap(), ("hello, world!!!".into(), true, reuse), "{step} {text}");
        }
    }
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    for text in ["HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"] {
        assert_eq!(body(text, 100).unwrap(), (String::new(), true, true));
    }
}

#[test]
fn a_body_that_stops_early_is_no_body() {
    for text in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    ] {
        assert!(!body(text, 1000).unwrap().1, "{text}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let head_of = |fields: &str| head(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).map(drop).unwrap_err();
    for fields in [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: 1, 1",
        "Content-Length: +1",
        "Content-Length: -1",
        "Content-Length: 0x1",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
    ] {
        assert_eq!(head_of(fields), Fault::Framing, "{fields}");
    }
    assert_eq!(head("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").map(drop), Err(Fault::Framing));
    for text in ["HTTP/2 200\r\n\r\n", "SSH-2.0-x\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nA b\r\n\r\n"] {
        assert_eq!(head(text).map(drop), Err(Fault::NotHttp), "{text}");
    }
    let chunked = |rest: &str| body(&format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}"), 1000);
    for rest in ["x\r\n", "3\r\nabcd\r\n", "11111111111111111\r\n", "-1\r\n", "3\r\nabc\n\n"] {
        assert_eq!(chunked(rest).unwrap_err(), Fault::Framing, "{rest}");
    }
    assert_eq!(chunked(&format!("3;{}\r\n", "x".repeat(400))).unwrap_err(), Fault::Framing);
    assert_eq!(chunked(&format!("0\r\n{}", "A: b\r\n".repeat(2000))).unwrap_err(), Fault::Framing);
}

#[test]
fn a_connection_that_will_close_is_not_kept() {
    let keeps = |text: &str| head(text).unwrap().unwrap().0.reusable;
    assert!(keeps("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"));
    assert!(!keeps("HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 1\r\n\r\n"));
    assert!(!keeps("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n"));
    assert!(!keeps("HTTP/1.1 200 OK\r\n\r\n"));
}
