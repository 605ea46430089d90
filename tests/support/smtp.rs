//! A small SMTP server on loopback that remembers what it was told, and how. It offers AUTH PLAIN, and STARTTLS or TLS
//! from the first byte if it has a certificate for it.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{until, wait::DEADLINE};

/// How it treats mails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Accepting,
    /// Every recipient is refused for good.
    Refusing,
}

/// How its connections are protected.
#[derive(Clone)]
pub enum Protection {
    None,
    StartTls(Arc<ServerConfig>),
    Tls(Arc<ServerConfig>),
}

/// What it heard.
#[derive(Default)]
struct Heard {
    /// Lines outside of mails, and whether they came in clear.
    said: Mutex<Vec<(bool, String)>>,
    mails: Mutex<Vec<String>>,
}

/// The server.
pub struct Smtp {
    pub address: SocketAddr,
    heard: Arc<Heard>,
}

impl Smtp {
    pub fn start(manner: Manner) -> Self {
        Smtp::protected(manner, Protection::None)
    }
    pub fn protected(manner: Manner, protection: Protection) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard = Arc::<Heard>::default();
        let hearing = heard.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
                let (protection, hearing) = (protection.clone(), hearing.clone());
                thread::spawn(move || serve(stream, &protection, manner, &hearing));
            }
        });
        Smtp { address, heard }
    }
    /// Every line that clients said outside of mails.
    pub fn said(&self) -> Vec<String> {
        self.lines(|_| true)
    }
    /// What of it anybody on the way could read.
    pub fn said_in_clear(&self) -> Vec<String> {
        self.lines(|clear| clear)
    }
    fn lines(&self, which: impl Fn(bool) -> bool) -> Vec<String> {
        let said = self.heard.said.lock().expect("not poisoned");
        said.iter().filter(|(clear, _)| which(*clear)).map(|(_, line)| line.clone()).collect()
    }
    /// The mails it accepted.
    pub fn mails(&self) -> Vec<String> {
        self.heard.mails.lock().expect("not poisoned").clone()
    }
    /// The one mail, with lines that were broken for the way joined again.
    pub fn mail(&self) -> String {
        until("a mail", || !self.mails().is_empty());
        self.mails()[0].replace("=\r\n", "").replace("=3D", "=")
    }
}

fn serve(stream: TcpStream, protection: &Protection, manner: Manner, heard: &Heard) {
    let wrapped = |stream, config: &Arc<ServerConfig>| {
        StreamOwned::new(ServerConnection::new(config.clone()).expect("a connection"), stream)
    };
    let talk = |offers, clear| Talk { offers, clear, manner, heard };
    match protection {
        Protection::None => drop(talk("8BITMIME", true).greeted(stream)),
        Protection::Tls(config) => drop(talk("8BITMIME", false).greeted(wrapped(stream, config))),
        Protection::StartTls(config) => {
            if let Some(stream) = talk("STARTTLS", true).greeted(stream) {
                talk("8BITMIME", false).converse(wrapped(stream, config));
            }
        }
    }
}

/// One conversation.
struct Talk<'a> {
    /// An extension besides AUTH.
    offers: &'a str,
    clear: bool,
    manner: Manner,
    heard: &'a Heard,
}

impl Talk<'_> {
    fn greeted<S: Read + Write>(&self, mut stream: S) -> Option<S> {
        stream.write_all(b"220 mail.test ESMTP\r\n").ok()?;
        self.converse(stream)
    }

    /// Until the end; gives the stream back when the client wants to speak TLS on it.
    fn converse<S: Read + Write>(&self, stream: S) -> Option<S> {
        let mut stream = BufReader::new(stream);
        loop {
            let line = line_of(&mut stream)?;
            self.heard.said.lock().expect("not poisoned").push((self.clear, line.clone()));
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let answer = match verb.as_str() {
                "EHLO" => format!("250-mail.test\r\n250-{}\r\n250 AUTH PLAIN", self.offers),
                "AUTH" => "235 welcome".to_owned(),
                "STARTTLS" => "220 go on".to_owned(),
                "RCPT" if self.manner == Manner::Refusing => "550 nobody of that name".to_owned(),
                "DATA" => {
                    stream.get_mut().write_all(b"354 go on\r\n").ok()?;
                    let mut mail = String::new();
                    while let Some(line) = line_of(&mut stream).filter(|line| line != ".") {
                        mail.push_str(&line);
                        mail.push_str("\r\n");
                    }
                    self.heard.mails.lock().expect("not poisoned").push(mail);
                    "250 taken".to_owned()
                }
                "QUIT" => "221 bye".to_owned(),
                _ => "250 fine".to_owned(),
            };
            stream.get_mut().write_all(format!("{answer}\r\n").as_bytes()).ok()?;
            match verb.as_str() {
                "STARTTLS" => return Some(stream.into_inner()),
                "QUIT" => return None,
                _ => {}
            }
        }
    }
}

fn line_of<S: Read>(stream: &mut BufReader<S>) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
    Some(line.trim_end_matches(['\r', '\n']).to_owned())
}
