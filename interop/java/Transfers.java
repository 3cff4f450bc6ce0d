import java.util.Properties;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.InvalidPidMappingException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.serialization.StringSerializer;

/** Transfers of Kafka's Java client; the words are those of ../bank.py. */
public final class Transfers {
    private final KafkaProducer<String, String> producer;
    private final String topic;
    private final int partitions;
    private final int accounts;

    private Transfers(String[] words) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", words[0]);
        settings.put("transactional.id", words[4]);
        settings.put("transaction.timeout.ms", words[6]);
        producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
        topic = words[1];
        partitions = Integer.parseInt(words[2]);
        accounts = Integer.parseInt(words[3]);
    }

    public static void main(String[] words) {
        AtomicBoolean leaving = new AtomicBoolean();
        Thread working = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            leaving.set(true);
            try {
                working.join();
            } catch (InterruptedException interrupted) {
                working.interrupt();
            }
        }));
        try {
            Transfers transfers = new Transfers(words);
            again(transfers.producer::initTransactions);
            System.out.println("started");
            for (int number = 0; !leaving.get(); number++) transfers.one(words[5] + "-" + number, number % 5 == 4);
        } catch (ProducerFencedException | InvalidPidMappingException fenced) {
            System.out.println("fenced");
        }
    }

    private void one(String name, boolean aborts) {
        Random dice = new Random(name.hashCode());
        int from = dice.nextInt(accounts);
        int to = from;
        while (to % partitions == from % partitions) to = dice.nextInt(accounts);
        int amount = 1 + dice.nextInt(100);
        boolean committed = false;
        try {
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, from % partitions, String.valueOf(from), name + " " + -amount));
            producer.send(new ProducerRecord<>(topic, to % partitions, String.valueOf(to), name + " " + amount));
            // Not left to the commit: in 4.3 the thread that sends may have looked for records just before these were there, and then the end of the transaction goes
            // before them, to be told INVALID_TXN_STATE. In the older protocol the request for their partitions comes first and holds it up; KIP-890 has none.
            producer.flush();
            if (aborts) {
                again(producer::abortTransaction);
            } else {
                again(producer::commitTransaction);
                committed = true;
            }
        } catch (ProducerFencedException | InvalidPidMappingException fenced) {
            throw fenced;
        } catch (KafkaException failure) {
            System.err.println(name + " is aborted: " + failure);
            again(producer::abortTransaction);
        }
        System.out.println((committed ? "committed " : "aborted ") + name);
    }

    /** What took too long goes on by itself, and is waited for by the same call. */
    private static void again(Runnable call) {
        while (true) {
            try {
                call.run();
                return;
            } catch (TimeoutException late) {
                System.err.println(late);
            }
        }
    }
}
