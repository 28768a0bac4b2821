//! The table of contestants: what each is called and how it is started.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::frame::Role;
use crate::link::Speech;
use crate::process::{Launch, Processes, free_port};
use crate::scene::Scene;

/// The name of our own plain relay, with which all are compared.
pub const RELAY: &str = "relay";
/// The name of what is judged.
pub const WSBRIDGE: &str = "wsbridge";

const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// One that takes part.
#[derive(Clone, Copy)]
pub struct Contestant {
    pub name: &'static str,
    /// What its caller speaks inside of TLS.
    pub speech: Speech,
    launch: fn(&Scene, u16, u16) -> Result<Launch>,
}

/// Those that are always there. The first is judged.
pub const OURS: &[Contestant] = &[
    Contestant {
        name: WSBRIDGE,
        speech: Speech::Frames(Role::Client),
        launch: |scene, port, target| Ok(wsbridge("wss-l", scene, port, target)),
    },
    Contestant {
        name: "wsbridge-tls",
        speech: Speech::Plain,
        launch: |scene, port, target| Ok(wsbridge("tls-l", scene, port, target)),
    },
    Contestant {
        name: RELAY,
        speech: Speech::Plain,
        launch: relay,
    },
];

const NGINX: Contestant = Contestant {
    name: "nginx",
    speech: Speech::Plain,
    launch: nginx,
};

impl Contestant {
    /// Starts it before a target; returns where it listens.
    pub fn start(&self, scene: &Scene, target: &TcpListener) -> Result<(Processes, u16)> {
        let port = free_port();
        let launch = (self.launch)(scene, port, target.local_addr()?.port())?;
        Ok((Processes::start(&[launch])?, port))
    }
}

/// All that take part, and a line for each that is not found.
pub fn find_all(without: &[String]) -> (Vec<Contestant>, Vec<String>) {
    let mut found = OURS.to_vec();
    let mut missing = Vec::new();
    match nginx_program() {
        Some(_) => found.push(NGINX),
        None => missing.push(
            "not found: nginx with its stream module (install: apt install libnginx-mod-stream)"
                .to_owned(),
        ),
    }
    found.retain(|one| one.name == RELAY || without.iter().all(|name| name != one.name));
    (found, missing)
}

fn launch(program: PathBuf, port: u16, args: &[&str]) -> Launch {
    Launch {
        program,
        args: args.iter().map(ToString::to_string).collect(),
        port: Some(port),
        is_piped: false,
    }
}

fn wsbridge(scheme: &str, scene: &Scene, port: u16, target: u16) -> Launch {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_wsbridge"));
    let program = std::env::var_os("WSBRIDGE").map_or(built, PathBuf::from);
    let (cert, key) = (scene.cert.display(), scene.key.display());
    let left = format!("{scheme}:127.0.0.1:{port},cert={cert},key={key}");
    let connections = (scene.pairs + 64).to_string();
    let options: &[&str] = match scheme {
        "wss-l" => &["-q", "--max-connections", &connections, "--ping", "0"],
        _ => &["-q", "--max-connections", &connections],
    };
    let right = format!("tcp:127.0.0.1:{target}");
    launch(program, port, &[options, &[&*left, &*right]].concat())
}

fn relay(scene: &Scene, port: u16, target: u16) -> Result<Launch> {
    let (cert, key) = (scene.cert.to_string_lossy(), scene.key.to_string_lossy());
    let (listen, connect) = (port.to_string(), target.to_string());
    let args = ["--tls-relay", &listen, &connect, &cert, &key];
    Ok(launch(std::env::current_exe()?, port, &args))
}

fn nginx_program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut files = dirs.map(|dir| dir.join("nginx"));
    files.find(|file| file.is_file() && Path::new(STREAM_MODULE).exists())
}

fn nginx(scene: &Scene, port: u16, target: u16) -> Result<Launch> {
    let place = scene.dir.path();
    let config = format!(
        "load_module {STREAM_MODULE};\ndaemon off;\nworker_processes auto;\nworker_rlimit_nofile 20000;\npid {pid};\n\
         error_log /dev/null;\nevents {{ worker_connections 15000; }}\n\
         stream {{ server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {cert}; ssl_certificate_key {key};\n\
         ssl_protocols TLSv1.3; proxy_pass 127.0.0.1:{target}; tcp_nodelay on; }} }}\n",
        pid = place.join(format!("{port}.pid")).display(),
        cert = scene.cert.display(),
        key = scene.key.display(),
    );
    let file = place.join(format!("{port}.conf"));
    fs::write(&file, config)?;
    let file = file.to_string_lossy();
    let program = nginx_program().context("nginx is gone")?;
    Ok(launch(program, port, &["-e", "/dev/null", "-c", &file]))
}
