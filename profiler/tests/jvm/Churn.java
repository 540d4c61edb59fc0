import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.List;

/** Allocates for ever, keeps some of it for a while, and collects when told to. Listens on a port if given one. Ends with its standard input. */
public class Churn {
    static List<byte[]> kept = new ArrayList<>();
    static ServerSocket listening;

    public static void main(String[] args) throws Exception {
        Thread churn = new Thread(() -> {
            for (int i = 0; ; i++) {
                kept.add(new byte[10_000]);
                if (kept.size() > 2_000) kept = new ArrayList<>();
                if (i % 500 == 0) pause();
            }
        });
        churn.setDaemon(true);
        churn.start();
        if (args.length > 0) listening = new ServerSocket(Integer.parseInt(args[0]));
        System.out.println("ready");
        for (int c; (c = System.in.read()) >= 0; ) {
            if (c == 'g') System.gc();
        }
    }

    static void pause() {
        try {
            Thread.sleep(10);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }
}
