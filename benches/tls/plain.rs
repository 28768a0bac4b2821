//! What this program is as a child of itself: a relay that takes off TLS, the best that stays simple.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use tokio::io::{BufReader, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The practical limit of copying: more gains nothing.
const BUFFER: usize = 256 * 1024;

/// Runs as a child if the arguments say so.
pub fn run(args: &[String]) -> Option<Result<()>> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["--tls-relay", port, target, cert, key] => Some(relay(port, target, cert, key)),
        _ => None,
    }
}

/// Accepts on all cores, each with a runtime of its own.
fn relay(port: &str, target: &str, cert: &str, key: &str) -> Result<()> {
    let (port, target): (u16, u16) = (port.parse()?, target.parse()?);
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = builder
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(cert)?],
            PrivateKeyDer::from_pem_file(key)?,
        )?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("listening")?;
    listener.set_nonblocking(true)?;
    let workers = (0..crate::machine::cores()).map(|_| {
        let (listener, acceptor) = (listener.try_clone()?, acceptor.clone());
        Ok(thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, accept(listener, acceptor, target))
        }))
    });
    let workers: Vec<_> = workers.collect::<Result<_>>()?;
    for worker in workers {
        worker.join().map_err(|_| anyhow!("a worker panicked"))??;
    }
    Ok(())
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, target: u16) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (caller, _) = listener.accept().await.context("accepting")?;
        let acceptor = acceptor.clone();
        tokio::task::spawn_local(async move {
            // An error ends this connection; the verification sees what is missing.
            let _ = serve(caller, acceptor, target).await;
        });
    }
}

async fn serve(caller: TcpStream, acceptor: TlsAcceptor, target: u16) -> Result<()> {
    caller.set_nodelay(true)?;
    // rustls by itself reads 4 KiB at a time.
    let caller = BufReader::with_capacity(BUFFER, caller);
    let mut tls = acceptor.accept(caller).await?;
    let mut called = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
    called.set_nodelay(true)?;
    tls.get_mut().1.set_buffer_limit(Some(BUFFER));
    copy_bidirectional_with_sizes(&mut tls, &mut called, BUFFER, BUFFER).await?;
    Ok(())
}
