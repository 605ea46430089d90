//! A sign of life while an answer is awaited: on a terminal only, and only when it takes a while.

use std::{pin::pin, time::Duration};

use actix_web::rt::time::timeout;

use super::output;

/// An answer that comes within this time needs no sign.
const AFTER: Duration = Duration::from_millis(300);
/// How long each picture stands.
const EVERY: Duration = Duration::from_millis(100);
const PICTURES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Waits for `work`; if `wanted`, and it takes a while, the terminal shows that something goes on. Nothing of it is left
/// when this returns.
pub async fn shown<T>(wanted: bool, work: impl Future<Output = T>) -> T {
    if !wanted {
        return work.await;
    }
    let mut work = pin!(work);
    if let Ok(done) = timeout(AFTER, &mut work).await {
        return done;
    }
    let mut pictures = PICTURES.iter().cycle();
    loop {
        output::picture(pictures.next().copied());
        if let Ok(done) = timeout(EVERY, &mut work).await {
            output::picture(None);
            return done;
        }
    }
}
