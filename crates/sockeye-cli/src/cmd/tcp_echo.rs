//! The hidden subcommand `tcp-echo`: the TCP server that `bench` compares with, on one thread like
//! `serve`.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::descriptor_limit;
use super::parent::end_with;
use crate::args::TcpEcho;
use crate::exit::Exit;
use crate::stdio;

/// Runs until it is killed. Its address is its only line on standard output.
pub(crate) fn run(args: &TcpEcho) -> anyhow::Result<Exit> {
    if let Some(parent) = args.end_with_parent {
        end_with(parent)?;
    }
    descriptor_limit::raise(None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        stdio::print(format!("tcp:{}\n", listener.local_addr()?).as_bytes())?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(echo(stream));
        }
    })
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count]).await?,
        }
    }
}
