//! Journeys of the bundled shop; each is also an example of how one is written.

pub mod browse;
pub mod checkout;
pub mod live;
mod shopper;

use goose::goose::{GooseResponse, GooseUser};
use goose::prelude::{TransactionError, TransactionResult};

/// Longest answer that is read, bytes: what the shop sends to a journey is far shorter, and each visitor may be reading one.
const ANSWER_MAX: usize = 1 << 20;

/// Reads the answer to its end, so that its connection can be used again: goose stops at the head.
async fn read(answer: GooseResponse) -> Result<Vec<u8>, Box<TransactionError>> {
    let mut answer = answer.response.map_err(wrap)?;
    let mut body = Vec::new();
    while let Some(portion) = answer.chunk().await.map_err(wrap)? {
        if body.len() + portion.len() > ANSWER_MAX {
            return Err(wrong("the answer is longer than 1 MiB"));
        }
        body.extend_from_slice(&portion);
    }
    Ok(body)
}

fn wrap(error: reqwest::Error) -> Box<TransactionError> {
    Box::new(TransactionError::Reqwest(error))
}

fn wrong(what: &str) -> Box<TransactionError> {
    Box::new(TransactionError::Custom(what.to_owned()))
}

/// Looks at a product, the first ones more often than the last.
async fn look_at_a_product(user: &mut GooseUser) -> TransactionResult {
    let product = shopper::of(user).popular_product();
    let path = format!("products/{product}");
    let request = goose::prelude::GooseRequest::builder().path(&path[..]).name("products/ID").build();
    let answer = user.request(request).await?;
    read(answer).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;

    use crate::{Failure, Stage, StageOptions};

    /// A server whose answers do not end.
    fn endless() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let head = BufReader::new(&stream).lines().map_while(Result::ok);
                head.take_while(|line| !line.is_empty()).for_each(drop);
                let begun = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while begun.is_ok() && stream.write_all(&[b' '; 64 << 10]).is_ok() {}
            }
        });
        address
    }

    #[tokio::test]
    async fn an_answer_without_an_end_is_given_up() {
        let address = endless();
        let url = format!("http://{address}/");
        let options = StageOptions { url: &url, address, sources: &[], compression: false, seed: 1 };
        let stage = Arc::new(Stage::new(options, ["shop-browse"]).unwrap());
        let mut walk = stage.visitor("shop-browse", 1).unwrap();
        assert_eq!(walk.run(0, &mut |_| ()).await, Err(Failure::Judged));
    }
}
