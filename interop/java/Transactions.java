import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.LongStream;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Producers of Kafka's Java client, each with a transactional id of its own, that write transactions of one record one after the other:
 * Transactions ADDRESS TOPIC PARTITIONS PRODUCERS WARM_UP_S SECONDS. Says what bench-floor's `transactions` says.
 */
public final class Transactions {
    private record Done(long all, long[] tookNs) {}

    public static void main(String[] words) throws Exception {
        int producers = Integer.parseInt(words[3]);
        double warmUp = Double.parseDouble(words[4]);
        double seconds = Double.parseDouble(words[5]);
        CountDownLatch started = new CountDownLatch(producers);
        ExecutorService threads = Executors.newFixedThreadPool(producers);
        List<Future<Done>> running = new ArrayList<>();
        for (int at = 0; at < producers; at++) {
            int number = at;
            running.add(threads.submit(() -> run(words, number, started, (long) (warmUp * 1e9), (long) (seconds * 1e9))));
        }
        long all = 0;
        LongStream took = LongStream.empty();
        for (Future<Done> one : running) {
            all += one.get().all();
            took = LongStream.concat(took, Arrays.stream(one.get().tookNs()));
        }
        threads.shutdown();
        long[] sorted = took.sorted().toArray();
        System.out.printf("{\"transactions\":%d,\"seconds\":%s,\"all\":%d,\"pauses\":0,\"took_us\":{\"p50\":%d,\"p99\":%d}}%n", sorted.length, seconds, all,
            sorted[sorted.length / 2] / 1000, sorted[sorted.length * 99 / 100] / 1000);
    }

    private static Done run(String[] words, int number, CountDownLatch started, long warmUpNs, long countedNs) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", words[0]);
        settings.put("transactional.id", words[1] + "-" + number);
        byte[] value = new byte[100];
        long all = 0;
        LongStream.Builder took = LongStream.builder();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
            started.countDown();
            started.await();
            long begun = System.nanoTime();
            for (long began = begun; began - begun < warmUpNs + countedNs; all++) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(words[1], number % Integer.parseInt(words[2]), null, value));
                producer.commitTransaction();
                long ended = System.nanoTime();
                if (began - begun >= warmUpNs) took.add(ended - began);
                began = ended;
            }
        }
        return new Done(all, took.build().toArray());
    }
}
