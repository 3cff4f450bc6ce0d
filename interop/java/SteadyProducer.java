import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * What bench/steady_producer.py does, by Kafka's own client with its defaults: BOOTSTRAP TOPIC PARTITION [EVERY_MS]. System.nanoTime is the machine's monotonic clock
 * here, so that its moments can be held against those of other processes.
 */
public class SteadyProducer {
    public static void main(String[] words) throws InterruptedException {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", words[0]);
        settings.put("key.serializer", ByteArraySerializer.class.getName());
        settings.put("value.serializer", ByteArraySerializer.class.getName());
        long everyNs = (words.length > 3 ? Long.parseLong(words[3]) : 5) * 1_000_000;
        byte[] value = new byte[100];
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
            for (long due = System.nanoTime(); ; due += everyNs) {
                double sentAt = now();
                producer.send(new ProducerRecord<>(words[1], Integer.parseInt(words[2]), null, value), (told, error) -> {
                    System.out.println(error == null ? "acknowledged " + sentAt + " " + now() : "refused " + sentAt + " " + error);
                    System.out.flush();
                });
                long leftMs = (due + everyNs - System.nanoTime()) / 1_000_000;
                if (leftMs > 0) {
                    Thread.sleep(leftMs);
                }
            }
        }
    }

    private static double now() {
        return System.nanoTime() / 1e9;
    }
}
