//! The connections of one client: HTTP/1.1 requests with a body, written in one piece, over a pool that gives the
//! connection used last first. `tools/call` goes this way: it costs a read, a write and no task or timer of its own
//! beyond the caller's deadline. Where connections may go is decided by the connector it is given.
//!
//! A connection lost before any byte of a request was taken is replaced without a word; after that, what happened to
//! the request is the caller's question ([`SendFailure::Lost`]).

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use actix_rt::net::TcpStream;
use actix_service::Service as _;
use actix_tls::connect::{
    ConnectError, ConnectInfo,
    rustls_0_23::{TlsConnectorService, reexports::AsyncTlsStream},
};
use awc::http::{StatusCode, Uri};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;
use zeroize::Zeroize as _;

use crate::{
    domain::clock,
    upstream::{
        UpstreamError,
        client::Guarded,
        h1::{self, Fault, Framing, Head, Piece},
        lost::{SendFailure, classify_connect_failure},
    },
};

/// Bodies up to this size are written together with their head.
const ONE_WRITE: usize = 16 * 1024;
/// What is read at once, at least.
const READ: usize = 8 * 1024;

/// Where requests go.
#[derive(Debug)]
pub struct Origin {
    uri: Uri,
    tls: bool,
}

impl Origin {
    /// The origin of `uri`.
    pub fn of(uri: &Uri) -> Rc<Self> {
        Rc::new(Origin { uri: uri.clone(), tls: uri.scheme_str() == Some("https") })
    }

    fn is(&self, other: &Origin) -> bool {
        self.tls == other.tls && self.uri.authority() == other.uri.authority()
    }
}

/// Connections, idle ones kept. Belongs to one thread.
pub struct Connections {
    guarded: Guarded,
    tls: TlsConnectorService,
    limits: Kept,
    /// In the order in which they became idle.
    idle: RefCell<Vec<Idle>>,
}

/// Bounds on connections and heads.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// To resolve and connect, TLS included.
    pub connect: Duration,
    /// Idle connections.
    pub most: usize,
    /// Time an idle connection is kept.
    pub idle: Duration,
    /// Age at which a connection is not used again.
    pub age: Duration,
    /// Answer head, bytes.
    pub head_bytes: usize,
}

struct Idle {
    origin: Rc<Origin>,
    socket: Socket,
    since: Instant,
}

impl Connections {
    /// No connection yet.
    pub fn new(guarded: Guarded, tls: TlsConnectorService, limits: Kept) -> Rc<Self> {
        Rc::new(Connections { guarded, tls, limits, idle: RefCell::default() })
    }

    /// Sends a request whose head is `head` (without the length of the body and the empty line) and waits for the
    /// head of its answer. Dropping the future or the answer closes the connection, which cancels the request.
    pub(super) async fn send(
        self: &Rc<Self>,
        origin: &Rc<Origin>,
        head: [&[u8]; 2],
        body: &Bytes,
    ) -> Result<H1Response, SendFailure> {
        loop {
            let (mut socket, fresh) = match self.take(origin) {
                Some(socket) => (socket, false),
                None => (Box::pin(self.connect(origin)).await?, true),
            };
            match socket.write(head, body).await {
                Ok(()) => {}
                // The server had closed it; nothing of the request went out. Each round uses up an idle connection.
                Err(Unwritten::Whole) if !fresh => continue,
                Err(_) => return Err(SendFailure::Lost("the connection broke".into())),
            }
            let (head, framing) = socket.read_head(self.limits.head_bytes).await?;
            return Ok(H1Response { head, framing, socket: Some(socket), origin: origin.clone(), home: self.clone() });
        }
    }

    /// The connection that became idle last and is still good.
    fn take(&self, origin: &Origin) -> Option<Socket> {
        let now = clock::instant();
        loop {
            let mut idle = self.idle.borrow_mut();
            let at = idle.iter().rposition(|one| one.origin.is(origin))?;
            let Idle { mut socket, since, .. } = idle.remove(at);
            drop(idle);
            let old = now.saturating_duration_since(since) >= self.limits.idle;
            if !old && now.saturating_duration_since(socket.born) < self.limits.age && socket.is_quiet() {
                return Some(socket);
            }
        }
    }

    fn give_back(&self, origin: Rc<Origin>, socket: Socket) {
        let mut idle = self.idle.borrow_mut();
        idle.push(Idle { origin, socket, since: clock::instant() });
        if idle.len() > self.limits.most {
            idle.remove(0);
        }
    }

    /// Closes what has been idle for too long.
    pub fn tidy(&self) {
        let now = clock::instant();
        self.idle.borrow_mut().retain(|one| now.saturating_duration_since(one.since) < self.limits.idle);
    }

    async fn connect(&self, origin: &Origin) -> Result<Socket, SendFailure> {
        let connected = tokio::time::timeout(self.limits.connect, self.dial(origin)).await;
        let io = connected.unwrap_or(Err(ConnectError::Io(io::ErrorKind::TimedOut.into())));
        let io = io.map_err(|cause| SendFailure::Clear(classify_connect_failure(cause)))?;
        Ok(Socket { io, read: BytesMut::new(), out: Vec::new(), born: clock::instant() })
    }

    async fn dial(&self, origin: &Origin) -> Result<Io, ConnectError> {
        let connection = self.guarded.call(ConnectInfo::new(origin.uri.clone())).await?;
        if !origin.tls {
            return Ok(Io::Plain(connection.into_parts().0));
        }
        let secured = self.tls.call(connection).await.map_err(ConnectError::Io)?;
        Ok(Io::Tls(Box::new(secured.into_parts().0)))
    }
}

/// One connection.
struct Socket {
    io: Io,
    /// What was read and not yet used.
    read: BytesMut,
    /// What is being written; wiped afterwards, because it holds credentials.
    out: Vec<u8>,
    born: Instant,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<AsyncTlsStream<TcpStream>>),
}

/// How much of a request was not written.
enum Unwritten {
    Whole,
    Rest,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.out.zeroize();
    }
}

impl Socket {
    /// An idle connection on which something can be read was closed, or its server speaks unasked.
    fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.read.is_empty() && self.io.poll_read_into(&mut self.read, &mut cx).is_pending()
    }

    async fn write(&mut self, head: [&[u8]; 2], body: &Bytes) -> Result<(), Unwritten> {
        let Socket { io, out, .. } = self;
        out.extend_from_slice(head[0]);
        out.extend_from_slice(head[1]);
        out.extend_from_slice(b"content-length: ");
        out.extend_from_slice(body.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        let together = body.len() <= ONE_WRITE;
        if together {
            out.extend_from_slice(body);
        }
        let written = io.write_all(out).await;
        out.zeroize();
        written?;
        if !together {
            io.write_all(body).await.map_err(|_broken| Unwritten::Rest)?;
        }
        poll_fn(|cx| io.poll_flush(cx)).await.map_err(|_broken| Unwritten::Rest)
    }

    async fn read_head(&mut self, limit: usize) -> Result<(Head, Framing), SendFailure> {
        loop {
            match h1::take_head(&mut self.read, limit) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(fault) => return Err(SendFailure::Clear(unreadable(fault, limit))),
            }
            let Socket { io, read, .. } = self;
            match poll_fn(|cx| io.poll_read_into(read, cx)).await {
                Ok(0) => return Err(SendFailure::Lost("it closed the connection".into())),
                Ok(_) => {}
                Err(_cause) => return Err(SendFailure::Lost("the connection broke".into())),
            }
        }
    }
}

fn unreadable(fault: Fault, limit: usize) -> UpstreamError {
    match fault {
        Fault::HeadTooLarge => UpstreamError::TooLarge { what: "the head of its answer", limit },
        Fault::NotHttp | Fault::Framing => UpstreamError::Protocol(fault.to_string()),
    }
}

impl Io {
    fn poll_read_into(&mut self, read: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        fn into<T: AsyncRead + Unpin>(
            io: &mut T,
            read: &mut BytesMut,
            cx: &mut Context<'_>,
        ) -> Poll<io::Result<usize>> {
            poll_read_buf(Pin::new(io), cx, read)
        }
        if read.capacity() - read.len() < READ / 2 {
            read.reserve(READ);
        }
        match self {
            Io::Plain(io) => into(io, read, cx),
            Io::Tls(io) => into(&mut **io, read, cx),
        }
    }

    fn poll_write(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match self {
            Io::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Io::Tls(io) => Pin::new(&mut **io).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Io::Plain(io) => Pin::new(io).poll_flush(cx),
            Io::Tls(io) => Pin::new(&mut **io).poll_flush(cx),
        }
    }

    async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Unwritten> {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match poll_fn(|cx| self.poll_write(rest, cx)).await {
                Ok(count) if count > 0 => written += count,
                _ if written == 0 => return Err(Unwritten::Whole),
                _ => return Err(Unwritten::Rest),
            }
        }
        Ok(())
    }
}

/// The answer to a request. Once its body has been read, its connection is kept for the next; dropped before, it is
/// closed.
pub struct H1Response {
    head: Head,
    framing: Framing,
    socket: Option<Socket>,
    origin: Rc<Origin>,
    home: Rc<Connections>,
}

impl H1Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The first header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// The next piece of the body; `None` at its end. An error: it was cut off, or its framing is broken.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UpstreamError>>> {
        let Some(socket) = &mut self.socket else { return Poll::Ready(None) };
        loop {
            match self.framing.take(&mut socket.read) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Piece::End) => break,
                Ok(Piece::More) => {}
                Err(fault) => {
                    self.socket = None;
                    return Poll::Ready(Some(Err(UpstreamError::Protocol(fault.to_string()))));
                }
            }
            match socket.io.poll_read_into(&mut socket.read, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(Ok(_)) if self.framing.may_end_here() => break,
                Poll::Ready(_) => {
                    self.socket = None;
                    return Poll::Ready(Some(Err(UpstreamError::Cut)));
                }
            }
        }
        if let Some(socket) = self.socket.take().filter(|socket| self.head.reusable && socket.read.is_empty()) {
            self.home.give_back(self.origin.clone(), socket);
        }
        Poll::Ready(None)
    }
}
