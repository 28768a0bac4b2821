// Tomcat and Jetty as servers of WebSockets, with the limits that they come with: `tomcat` and `jetty`, which say what the
// servers of servers.py say.

import jakarta.websocket.CloseReason;
import jakarta.websocket.Endpoint;
import jakarta.websocket.EndpointConfig;
import jakarta.websocket.MessageHandler;
import jakarta.websocket.server.ServerContainer;
import jakarta.websocket.server.ServerEndpointConfig;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.websocket.server.Constants;
import org.apache.tomcat.websocket.server.WsSci;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.websocket.api.WebSocketAdapter;
import org.eclipse.jetty.websocket.server.WebSocketHandler;
import org.eclipse.jetty.websocket.servlet.WebSocketServletFactory;

public class Servers {
    /** What came over one connection. */
    static class Seen {
        int messages, bytes, largest;
        final MessageDigest sum;

        Seen() {
            try {
                sum = MessageDigest.getInstance("MD5");
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }

        void add(byte[] data) {
            messages += 1;
            bytes += data.length;
            largest = Math.max(largest, data.length);
            sum.update(data);
        }

        void tell(int code, String protocol) {
            String name = protocol == null || protocol.isEmpty() ? "-" : protocol;
            System.out.printf("closed %d messages %d bytes %d largest %d sum %s protocol %s%n", code, messages, bytes,
                    largest, HexFormat.of().formatHex(sum.digest()), name);
            System.out.flush();
        }
    }

    public static class Counting extends Endpoint {
        final Seen seen = new Seen();

        @Override
        public void onOpen(jakarta.websocket.Session session, EndpointConfig config) {
            session.addMessageHandler(byte[].class, (MessageHandler.Whole<byte[]>) seen::add);
            session.addMessageHandler(String.class, (MessageHandler.Whole<String>) text -> seen.add(text.getBytes()));
        }

        @Override
        public void onClose(jakarta.websocket.Session session, CloseReason reason) {
            seen.tell(reason.getCloseCode().getCode(), session.getNegotiatedSubprotocol());
        }

        @Override
        public void onError(jakarta.websocket.Session session, Throwable error) {
        }
    }

    static void tomcat() throws Exception {
        Logger.getLogger("").setLevel(Level.OFF);
        File folder = Files.createTempDirectory("tomcat").toFile();
        folder.deleteOnExit();
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(folder.getPath());
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", folder.getPath());
        context.addServletContainerInitializer(new WsSci(), null);
        context.addServletContainerInitializer((classes, servlets) -> {
            String name = Constants.SERVER_CONTAINER_SERVLET_CONTEXT_ATTRIBUTE;
            ServerContainer container = (ServerContainer) servlets.getAttribute(name);
            ServerEndpointConfig config = ServerEndpointConfig.Builder.create(Counting.class, "/{rest}")
                    .subprotocols(List.of("superchat")).build();
            try {
                container.addEndpoint(config);
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }, null);
        Tomcat.addServlet(context, "none", new jakarta.servlet.http.HttpServlet() {
        });
        context.addServletMappingDecoded("/", "none");
        tomcat.start();
        System.out.println("port " + tomcat.getConnector().getLocalPort());
        tomcat.getServer().await();
    }

    public static class Adapter extends WebSocketAdapter {
        final Seen seen = new Seen();
        String protocol;

        @Override
        public void onWebSocketConnect(org.eclipse.jetty.websocket.api.Session session) {
            super.onWebSocketConnect(session);
            protocol = session.getUpgradeResponse().getAcceptedSubProtocol();
        }

        @Override
        public void onWebSocketBinary(byte[] data, int offset, int length) {
            byte[] message = new byte[length];
            ByteBuffer.wrap(data, offset, length).get(message);
            seen.add(message);
        }

        @Override
        public void onWebSocketText(String text) {
            seen.add(text.getBytes());
        }

        @Override
        public void onWebSocketClose(int code, String reason) {
            seen.tell(code, protocol);
        }
    }

    static void jetty() throws Exception {
        System.setProperty("org.eclipse.jetty.util.log.class", "org.eclipse.jetty.util.log.StdErrLog");
        System.setProperty("org.eclipse.jetty.LEVEL", "OFF");
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        server.addConnector(connector);
        server.setHandler(new WebSocketHandler() {
            @Override
            public void configure(WebSocketServletFactory factory) {
                factory.setCreator((request, response) -> {
                    if (request.hasSubProtocol("superchat")) {
                        response.setAcceptedSubProtocol("superchat");
                    }
                    return new Adapter();
                });
            }
        });
        server.start();
        System.out.println("port " + connector.getLocalPort());
        server.join();
    }

    public static void main(String[] words) throws Exception {
        if (words[0].equals("tomcat")) {
            tomcat();
        } else {
            jetty();
        }
    }
}
