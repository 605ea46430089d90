//! A small SMTP server on loopback that remembers what it was told. It offers AUTH PLAIN, and no STARTTLS.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::until;

/// How it treats mails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Accepting,
    /// Every recipient is refused for good.
    Refusing,
}

/// The server.
pub struct Smtp {
    pub address: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
    mails: Arc<Mutex<Vec<String>>>,
}

impl Smtp {
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (said, mails) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (heard, kept) = (said.clone(), mails.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heard, kept) = (heard.clone(), kept.clone());
                thread::spawn(move || converse(stream, manner, &heard, &kept));
            }
        });
        Smtp { address, said, mails }
    }
    /// Every line that clients said outside of mails.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("not poisoned").clone()
    }
    /// The mails it accepted.
    pub fn mails(&self) -> Vec<String> {
        self.mails.lock().expect("not poisoned").clone()
    }
    /// The one mail, with lines that were broken for the way joined again.
    pub fn mail(&self) -> String {
        until("a mail", || !self.mails().is_empty());
        self.mails()[0].replace("=\r\n", "").replace("=3D", "=")
    }
}

fn converse(stream: TcpStream, manner: Manner, said: &Mutex<Vec<String>>, mails: &Mutex<Vec<String>>) {
    let mut out = stream.try_clone().expect("a second handle");
    let mut lines = BufReader::new(stream).lines();
    let mut answer = |text: &str| out.write_all(format!("{text}\r\n").as_bytes());
    let mut go_on = answer("220 mail.test ESMTP").is_ok();
    while let Some(Ok(line)) = lines.next().filter(|_| go_on) {
        said.lock().expect("not poisoned").push(line.clone());
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let done = match verb.as_str() {
            "EHLO" => answer("250-mail.test\r\n250-8BITMIME\r\n250 AUTH PLAIN"),
            "AUTH" => answer("235 welcome"),
            "RCPT" if manner == Manner::Refusing => answer("550 nobody of that name"),
            "DATA" => {
                let _ = answer("354 go on");
                let mut mail = String::new();
                for line in lines.by_ref().map_while(Result::ok).take_while(|line| line != ".") {
                    mail.push_str(&line);
                    mail.push_str("\r\n");
                }
                mails.lock().expect("not poisoned").push(mail);
                answer("250 taken")
            }
            "QUIT" => {
                let _ = answer("221 bye");
                return;
            }
            _ => answer("250 fine"),
        };
        go_on = done.is_ok();
    }
}
