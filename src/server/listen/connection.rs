//! One client's connection, from the handshake to the close.

use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::{Notify, watch};
use tokio_rustls::server::TlsStream;

use crate::runtime::in_flight::InFlight;
use crate::runtime::lifecycle::Lifecycle;
use crate::runtime::tls::material::HTTP_2;
use crate::server::listen::handshakes::{Handshake, fault};
use crate::server::listen::http2::streams::Streams;
use crate::server::listen::patience::{FirstHead, Patience};
use crate::server::listen::peer::Peer;
use crate::server::listen::slots::{Beyond, Leave, Slot};
use crate::server::listen::{Closing, Routes, http1, http2};
use crate::telemetry::handshakes::HandshakeFault;

/// What stands behind all connections of a listener.
#[derive(Clone, Debug)]
pub(super) struct Front {
    pub(super) routes: Routes,
    pub(super) in_flight: InFlight,
    pub(super) lifecycle: Lifecycle,
}

/// A connection; its slot is free again when it is dropped.
pub(super) struct Connection {
    front: Front,
    peer: Peer,
    slot: Arc<Slot>,
    closing: watch::Receiver<Closing>,
    cut_off: Arc<Notify>,
}

impl Connection {
    pub(super) fn new(
        front: Front,
        peer: Peer,
        slot: Arc<Slot>,
        closing: watch::Receiver<Closing>,
    ) -> Connection {
        Connection { front, peer, slot, closing, cut_off: Arc::default() }
    }

    pub(super) async fn run(mut self, stream: TcpStream, mut due: FirstHead, tls: Option<Handshake>) {
        let Some(tls) = tls else { return self.serve_http1(Patience::with(stream, due)).await };
        let Some(stream) = self.shake_hands(stream, &mut due, &tls).await else { return };
        let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
        let stream = Patience::with(stream, due);
        if http2 {
            self.serve_http2(stream.over_http2()).await;
        } else {
            self.serve_http1(stream).await;
        }
    }

    /// The handshake, within the time for the first head: to the slots it is a head that is due. `None` where it fails,
    /// which rustls has told the client,
    /// and metrics and log tell operators.
    async fn shake_hands(
        &mut self,
        stream: TcpStream,
        due: &mut FirstHead,
        handshake: &Handshake,
    ) -> Option<TlsStream<TcpStream>> {
        let shaken = select! {
            biased;
            shaken = handshake.acceptor.accept(stream) => shaken.map_err(|error| fault(&error)),
            () = due.over() => Err(HandshakeFault::Timeout),
            _ = self.slot.told_to_leave() => Err(HandshakeFault::GaveWay),
            _ = self.closing.wait_for(|closing| *closing >= Closing::WhenAnswered) => return None,
        };
        match shaken {
            Ok(stream) => {
                self.slot.stage().shaken();
                Some(stream)
            }
            Err(fault) => {
                handshake.failed(fault, self.peer);
                None
            }
        }
    }

    async fn serve_http1(self, stream: Patience<impl AsyncRead + AsyncWrite + Unpin + 'static>) {
        let requests = http1::Requests {
            front: self.front.clone(),
            peer: self.peer,
            slot: Arc::clone(&self.slot),
            cut_off: Arc::clone(&self.cut_off),
        };
        let service = hyper::service::service_fn(move |request| requests.answer(request));
        self.serve(http1::bounded().serve_connection(TokioIo::new(stream), service), None).await;
    }

    async fn serve_http2(self, stream: Patience<impl AsyncRead + AsyncWrite + Unpin + 'static>) {
        let streams = Streams::of(&self.slot);
        let requests = http2::Requests {
            front: self.front.clone(),
            peer: self.peer,
            streams: Arc::clone(&streams),
            cut_off: Arc::clone(&self.cut_off),
        };
        let service = hyper::service::service_fn(move |request| requests.answer(request));
        self.serve(http2::bounded().serve_connection(TokioIo::new(stream), service), Some(&streams)).await;
    }

    /// Serves to the end of the connection. Errors are the client's: broken requests, which hyper has answered, and lost
    /// connections.
    async fn serve(mut self, connection: impl GracefulConnection, streams: Option<&Streams>) {
        let mut connection = pin!(connection);
        select! {
            biased;
            _ = connection.as_mut() => return,
            () = self.cut_off.notified() => return,
            leave = self.slot.told_to_leave() => if leave == Leave::AtOnce { return },
            () = wait(streams.map(Streams::one_stuck)) => return,
            () = wait(streams.map(Streams::to_go_away)) => {}
            _ = self.closing.wait_for(|closing| *closing >= Closing::WhenAnswered) => {}
        }
        connection.as_mut().graceful_shutdown();
        select! {
            biased;
            _ = connection.as_mut() => {}
            () = self.cut_off.notified() => {}
            () = wait(streams.map(Streams::one_stuck)) => {}
            () = wait(streams.map(Streams::all_ended)) => {}
            _ = self.closing.wait_for(|closing| *closing >= Closing::AtOnce) => {}
        }
    }
}

/// Waits for that, for ever where there is nothing to wait for.
async fn wait(for_that: Option<impl Future<Output = ()>>) {
    match for_that {
        Some(that) => that.await,
        None => std::future::pending().await,
    }
}

impl Front {
    /// What answers a request in this slot, if it has one; the request is told of it and of who sent it.
    pub(super) fn router(
        &self,
        slot: Option<&Arc<Slot>>,
        peer: Peer,
        request: &mut Request<Incoming>,
    ) -> Router {
        request.extensions_mut().insert(peer);
        if slot.is_some_and(|slot| slot.is_served_now()) {
            return self.routes.usual.clone();
        }
        request.extensions_mut().insert(Beyond(slot.cloned()));
        self.routes.crowded.clone()
    }
}
