//! The trace exporter's HTTP client: awc on a thread of its own, because awc cannot leave the thread it was made on.
//! It says once that a collector does not answer, and once that it does again.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, Result};

/// Largest answer of a collector that is read.
const ANSWER: usize = 64 * 1024;
/// Exports that may wait for the thread (the exporter makes one at a time).
const WAITING: usize = 4;

type Answered = std::result::Result<Response<Bytes>, String>;
type Export = (Request<Bytes>, oneshot::Sender<Answered>);

/// Hands requests to the thread.
pub struct OtlpClient {
    exports: mpsc::Sender<Export>,
    failing: AtomicBool,
}

impl OtlpClient {
    /// Starts the thread. It ends when the client is dropped.
    pub fn start(tls: Arc<rustls::ClientConfig>, limit: Duration) -> Result<Self> {
        let (exports, mut wanted) = mpsc::channel::<Export>(WAITING);
        let runtime = move || {
            let runtime = match actix_rt::Runtime::new() {
                Ok(runtime) => runtime,
                Err(cause) => return tracing::error!(%cause, "traces are not exported"),
            };
            runtime.block_on(async move {
                let connector = awc::Connector::new().rustls_0_23(tls).timeout(limit);
                let client = awc::Client::builder().connector(connector).disable_redirects().timeout(limit).finish();
                while let Some((request, answer)) = wanted.recv().await {
                    let _gone = answer.send(export(&client, request).await);
                }
            });
        };
        let spawned = std::thread::Builder::new().name("otlp".into()).spawn(runtime);
        spawned.map_err(|cause| Error::internal("starting the trace export", cause))?;
        Ok(OtlpClient { exports, failing: AtomicBool::new(false) })
    }

    fn told(&self, answered: &Answered, to: &str) {
        let failure = match answered {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answered {}", response.status())),
            Err(cause) => Some(cause.clone()),
        };
        let failed_before = self.failing.swap(failure.is_some(), SeqCst);
        match failure {
            Some(cause) if !failed_before => {
                tracing::warn!(collector = to, cause, "traces are not taken; they are lost")
            }
            None if failed_before => tracing::info!(collector = to, "traces are taken again"),
            _ => {}
        }
    }
}

async fn export(client: &awc::Client, request: Request<Bytes>) -> Answered {
    let (head, body) = request.into_parts();
    let mut outgoing = client.post(head.uri.to_string());
    for (name, value) in &head.headers {
        outgoing = outgoing.insert_header((name.as_str(), value.as_bytes()));
    }
    let mut answer = outgoing.send_body(body).await.map_err(|cause| cause.to_string())?;
    let status = answer.status().as_u16();
    let body = answer.body().limit(ANSWER).await.map_err(|cause| cause.to_string())?;
    Response::builder().status(status).body(body).map_err(|cause| cause.to_string())
}

impl fmt::Debug for OtlpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtlpClient")
    }
}

impl HttpClient for OtlpClient {
    fn send_bytes<'life, 'sent>(
        &'life self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = std::result::Result<Response<Bytes>, HttpError>> + Send + 'sent>>
    where
        'life: 'sent,
        Self: 'sent,
    {
        Box::pin(async move {
            let collector = request.uri().to_string();
            let (answer, answered) = oneshot::channel();
            self.exports.send((request, answer)).await?;
            let answered = answered.await.unwrap_or_else(|_gone| Err("the export thread is gone".into()));
            self.told(&answered, &collector);
            Ok(answered?)
        })
    }
}
