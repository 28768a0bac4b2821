//! Recipes: real uses, each with its command lines; the manual page wsbridge-cookbook(7).

use super::roff::Page;
use crate::columns::{WIDTH, indented};

/// A use of the program.
pub struct Recipe {
    /// What it is, in a few words.
    pub title: &'static str,
    /// What it is good for.
    pub good_for: &'static str,
    /// Lines of shell or of a file, each as it is typed.
    pub lines: &'static [&'static str],
    /// What one should know.
    pub remarks: &'static str,
}

/// Every recipe.
pub const COOKBOOK: &[Recipe] = &[
    Recipe {
        title: "Redis for a page",
        good_for: "A page in a browser speaks RESP with a Redis server; nothing runs between them.",
        lines: &[
            "wsbridge ws-l:8080/redis --origin https://app.example.com tcp:localhost:6379",
            "echo PING | wsbridge ws://localhost:8080/redis",
        ],
        remarks: "The page opens new WebSocket('ws://localhost:8080/redis') with binaryType 'arraybuffer'. Who reaches the \
                  port can give any command: let Redis have a user with few rights (ACL), and name the pages by --origin. \
                  examples/redis.html is such a page, a console: --page examples/redis.html serves it at the same address.",
    },
    Recipe {
        title: "A VNC desktop in the browser",
        good_for: "What websockify does for noVNC: the RFB bytes of a VNC server as binary messages.",
        lines: &[
            "wsbridge ws-l:6080 --protocol binary tcp:localhost:5901",
            "wsbridge 'wss-l:*:6080,cert=/etc/wsbridge/chain.pem,key=/etc/wsbridge/key.pem' --origin https://example.com tcp:localhost:5901",
        ],
        remarks: "noVNC asks for the subprotocol binary or for none; both are answered. Its pages come from any web server, which \
                  --origin names; only pages of this machine need no name, and reach a loopback port alone.",
    },
    Recipe {
        title: "A shell in the browser",
        good_for: "A terminal of its own for each tab, with xterm.js in the page.",
        lines: &["wsbridge ws-l:8080/shell --pty --kill-after 2s -- bash -l"],
        remarks: "The page asks for ?cols=120&rows=40 and gives what is typed as binary messages; with &resize=1 it may send \
                  {\"cols\":120,\"rows\":40} as text later. examples/terminal.html is such a page: --page examples/terminal.html \
                  serves it at the same address. It stays on loopback: callers from other machines get a shell only with \
                  --allow-remote-exec, which wants TLS and --client-ca beside it.",
    },
    Recipe {
        title: "SSH through a firewall",
        good_for: "Only HTTPS gets out. A host outside takes a WebSocket and gives its bytes to sshd.",
        lines: &[
            "wsbridge 'wss-l:*:443/ssh,cert=/etc/wsbridge/chain.pem,key=/etc/wsbridge/key.pem' tcp:localhost:22",
            "ssh -o ProxyCommand='wsbridge -q wss://%h/ssh' example.com",
            "",
            "# in ~/.ssh/config",
            "Host example.com",
            "    ProxyCommand wsbridge -q wss://%h/ssh",
        ],
        remarks: "The far bridge says that its target takes bytes, and so stdin and stdout are bytes here; in front of another server -b \
                  says it. The proxy of the house is found in https_proxy, or named by --proxy. sshd \
                  asks who you are as ever; scp, rsync and git go the same way.",
    },
    Recipe {
        title: "A chat",
        good_for: "All who are in a room hear what each says; a page and a terminal are members alike.",
        lines: &[
            "wsbridge ws-l:8080 hub:{path} --join --id prefix --replay 20",
            "wsbridge ws://localhost:8080/kitchen",
        ],
        remarks: "{path} makes a room of each path; a browser that opens http://localhost:8080/kitchen gets a chat page. A member that does not keep up is closed with 1013; --slow has other ways.",
    },
    Recipe {
        title: "A program as a service",
        good_for: "What websocketd does: a program reads lines and writes lines, one process for each caller.",
        lines: &[
            "wsbridge ws-l:8080 -- ./count.sh",
            "wsbridge ws-l:8080 --env-header Cookie --max-children 20 -- python3 -u answer.py",
        ],
        remarks: "Lines are text messages; -b makes bytes of them, --framing length or json keeps messages whole. The program \
                  must not hold its output back (python3 -u, stdbuf -oL). It finds who calls in REMOTE_ADDR, REQUEST_URI and \
                  QUERY_STRING, the cookie in WSBRIDGE_HTTP_COOKIE, and its exit status is the close code: 4000 and the status.",
    },
    Recipe {
        title: "PostgreSQL through a tunnel",
        good_for: "psql or an application reaches a database behind a web server.",
        lines: &[
            "wsbridge ws-l:8080/pg unix:/var/run/postgresql/.s.PGSQL.5432",
            "wsbridge tcp-l:5433 wss://example.com/pg --bearer @/etc/wsbridge/token",
            "psql -h localhost -p 5433 app",
        ],
        remarks: "Each connection of psql is a WebSocket of its own, and a cut one is a cut one for psql too: nothing that was \
                  half sent looks finished. Behind the web server the path stays, and it may check the token.",
    },
    Recipe {
        title: "MQTT for a page",
        good_for: "A broker that speaks MQTT over TCP alone is reached from a browser, with mqtt.js or paho.",
        lines: &["wsbridge ws-l:8083/mqtt --protocol mqtt,mqttv3.1 tcp:localhost:1883"],
        remarks: "MQTT over WebSocket wants the subprotocol mqtt and binary messages, whose boundaries mean nothing: that is \
                  what TCP gets here in any case.",
    },
    Recipe {
        title: "A language server for an editor in the browser",
        good_for: "Monaco or CodeMirror sends bare JSON; the server wants the headers of LSP around it.",
        lines: &["wsbridge ws-l:3000 --framing lsp -- typescript-language-server --stdio"],
        remarks: "Each tab has a server of its own. A message must be whole for its header: --max-message is the limit.",
    },
    Recipe {
        title: "Scripts against JSON APIs",
        good_for: "Ask once, or follow a stream, with jq and a pipe.",
        lines: &[
            "wsbridge --send '{\"op\":\"time\"}' -1 wss://api.example.com/ws | jq -r .time",
            "wsbridge --send @subscribe.json -n wss://api.example.com/ws | jq --unbuffered -c .data",
            "wsbridge --framing json wss://api.example.com/ws <said.jsonl >heard.jsonl",
            "echo 'add 1, 2' | wsbridge --jsonrpc -1 ws://localhost:8545 | jq .result",
        ],
        remarks: "--send keeps its newlines and is one message. --framing json tells kind and close code of every message, so \
                  that a record can be played again. The exit status says how it ended: 0, or 110 and 111 for a Close with an \
                  error, 56 for a cut.",
    },
    Recipe {
        title: "A legacy telnet or MUD port",
        good_for: "A game or a device with a port of lines gets a page.",
        lines: &[
            "wsbridge ws-l:4001 tcp:mud.example.com:4000",
            "wsbridge ws-l:4002 tcp:switch.example.com:23",
            "wsbridge ws-l:4003 -t --separator '\\r\\n' tcp:scale.example.com:7000",
        ],
        remarks: "Telnet is bytes, and so are most games: the page gets binary messages, prompts without a newline too. It takes \
                  telnet's own words, which begin with the byte 255, out of the text, and refuses what they ask for. -t is for a \
                  port that speaks lines of text and nothing else: each is a text message, and one that is no UTF-8 ends the \
                  session with Close 1007.",
    },
    Recipe {
        title: "Out through a corporate proxy",
        good_for: "A client that the network lets out by a proxy alone.",
        lines: &[
            "wsbridge --proxy http://proxy.corp.example:3128 wss://example.com/feed",
            "wsbridge --proxy socks5h://localhost:1080 tcp-l:8883 wss://example.com/mqtt --protocol mqtt",
            "https_proxy=http://proxy.corp.example:3128 wsbridge wss://example.com/feed",
        ],
        remarks: "A proxy that opens TLS itself wants its authority trusted: --cacert /etc/ssl/corp.pem. wsbridge doctor says which \
                  step fails. The exit status is 5 where the proxy has no address and 97 where it says no.",
    },
    Recipe {
        title: "A unit of systemd",
        good_for: "A bridge that starts with the machine, and tells its callers when it stops.",
        lines: &[
            "# /etc/systemd/system/wsbridge.service",
            "[Unit]",
            "Description=WebSockets to Redis",
            "After=network.target",
            "",
            "[Service]",
            "ExecStart=/usr/bin/wsbridge --drain 30s ws-l:8080 tcp:localhost:6379",
            "ExecReload=/bin/kill -HUP $MAINPID",
            "KillMode=mixed",
            "TimeoutStopSec=40",
            "Restart=on-failure",
            "SuccessExitStatus=143",
            "DynamicUser=yes",
            "LimitNOFILE=65536",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
        ],
        remarks: "SIGTERM lets what is under way come to its end, for at most half of --drain, closes the sessions with 1001 and \
                  waits for the callers to answer, at most until --drain; TimeoutStopSec must be longer. What is cut is told \
                  by Close 1011, and the exit status is 143. With --reconnect callers come again. KillMode leaves \
                  programs to the bridge. Packages bring wsbridge@.service, more confined, a bridge for each \
                  /etc/wsbridge/NAME.conf. A reload has files read again, such as certificates, and ends no session; \
                  systemctl kill -s USR1 writes the table of sessions to the log.",
    },
    Recipe {
        title: "A container",
        good_for: "The port must leave the container's own loopback, and the name of the host must be known.",
        lines: &[
            "FROM debian:stable-slim",
            "COPY wsbridge /usr/bin/wsbridge",
            "USER nobody",
            "EXPOSE 8080",
            "ENTRYPOINT [\"wsbridge\"]",
            "",
            "docker run -p 127.0.0.1:8080:8080 wsbridge 'ws-l:*:8080' --host localhost tcp:redis:6379",
        ],
        remarks: "Inside a container loopback is the container's alone, so the listener has a *. Publish the port on 127.0.0.1 \
                  where only this machine should reach it, else use wss-l: and --client-ca. No --init is needed: as the first \
                  process it takes signals and reaps what programs leave behind.",
    },
    Recipe {
        title: "TLS with a certificate of one's own, and a pin",
        good_for: "Two machines that know each other and no authority.",
        lines: &[
            "wsbridge 'wss-l:*:8443,self-signed' --allow-remote-exec -- uptime",
            "wsbridge wss://server:8443 --pin-sha256 sha256//g/9emcPdLcWghm0AM1Mat229W3SoYv+FRpC7sxiE/58=",
        ],
        remarks: "--self-signed prints the pin to give to the other one; it is another after each start. For a key that stays, \
                  make one (openssl req -x509 -nodes -newkey rsa:2048 -days 3650 -subj /CN=server -keyout key.pem -out \
                  cert.pem) and name it by --cert and --key. A pin trusts that key alone, whatever the name.",
    },
    Recipe {
        title: "A feed that connects again",
        good_for: "A stream that is to go on for weeks: lost connections are made again, and what was asked for is asked again.",
        lines: &[
            "wsbridge --reconnect --send @subscribe.json -n --ping 20s wss://feed.example.com/v1 >>feed.jsonl",
            "wsbridge tcp-l:9000 reconnect:ws://feed.example.com/v1 --reconnect-max 10s",
        ],
        remarks: "What was said while there was no connection is lost, and a warning tells each gap; with -v the closing line \
                  counts them. --retries ends the attempts, --tee keeps a record beside a pipe.",
    },
];

/// How many of the first recipes the README has.
const IN_README: usize = 12;

/// The first recipes for the README, without remarks.
pub fn cookbook_markdown() -> String {
    let recipe = |recipe: &Recipe| {
        let lines = recipe.lines.iter().map(|line| match *line {
            "" => "\n".to_owned(),
            line => format!("    {line}\n"),
        });
        let lines: String = lines.collect();
        format!("**{}.** {}\n\n{lines}", recipe.title, recipe.good_for)
    };
    let recipes: Vec<_> = COOKBOOK.iter().take(IN_README).map(recipe).collect();
    recipes.join("\n")
}

/// The recipes as a page of help.
pub(super) fn cookbook_text() -> String {
    let mut text = String::from("COOKBOOK\n");
    for recipe in COOKBOOK {
        text += &format!("\n{}\n", recipe.title.to_uppercase());
        text += &indented(recipe.good_for, 0);
        text.push('\n');
        for line in recipe.lines {
            text += &continued(line, 4);
        }
        text.push('\n');
        text += &indented(recipe.remarks, 0);
    }
    text
}

/// A line of shell behind so many blanks, on further lines where it is too long for one; no quoted word is cut.
fn continued(line: &str, blanks: usize) -> String {
    let mut text = String::new();
    let (mut rest, mut blanks) = (line, blanks);
    while rest.chars().count() + blanks > WIDTH {
        let mut quote = None;
        let mut cut = None;
        for (at, character) in rest.char_indices() {
            match character {
                '\'' | '"' if quote == Some(character) => quote = None,
                '\'' | '"' if quote.is_none() => quote = Some(character),
                ' ' if quote.is_none() && at + blanks + 2 <= WIDTH => cut = Some(at),
                _ => {}
            }
        }
        let Some((begin, end)) = cut.map(|at| rest.split_at(at)) else {
            break;
        };
        text += &format!("{:blanks$}{begin} \\\n", "");
        rest = end.trim_start();
        blanks = 4;
    }
    let line = format!("{:blanks$}{rest}", "");
    text + line.trim_end() + "\n"
}

/// The page.
pub fn cookbook() -> String {
    let mut page = Page::new(
        "wsbridge-cookbook",
        7,
        "Recipes",
        "what wsbridge is used for, and how",
    );
    page.section("DESCRIPTION");
    page.paragraph(
        "Whole uses, to be taken as they are and changed. Names and ports are examples. wsbridge --explain before the words of \
         a line says what they would do, and wsbridge doctor ADDRESS how far one gets there.",
    );
    for recipe in COOKBOOK {
        page.section(&recipe.title.to_uppercase());
        page.paragraph(recipe.good_for);
        page.lines(recipe.lines.iter().copied());
        page.paragraph(recipe.remarks);
    }
    page.section("SEE ALSO");
    page.paragraph("wsbridge(1)");
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_go_on_behind_a_backslash() {
        assert_eq!(continued("a b", 4), "    a b\n");
        assert_eq!(continued("", 4), "\n");
        let words = "word ".repeat(20);
        let shown = continued(words.trim(), 4);
        let joined = shown.replace("\\\n", "");
        assert!(shown.lines().all(|line| line.len() <= WIDTH), "{shown}");
        assert_eq!(joined.split_whitespace().count(), 20);
        let quoted = format!("a 'b {}' c", "x ".repeat(50));
        assert!(continued(&quoted, 4).starts_with("    a \\\n    'b x x"));
    }
}
