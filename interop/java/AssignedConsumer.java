import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Kafka's Java consumer on partitions it is told, without a group.
 *
 * <p>{@code AssignedConsumer count HOST:PORT TOPIC RECORDS [key=value...]} reads that many records and prints how long it took.
 * {@code AssignedConsumer digest ...} also prints a SHA-256 of every partition's records, offsets and headers included, in the form that
 * smoke.py computes for what it wrote.
 */
public final class AssignedConsumer {
    private static final long SILENCE_MS_MAX = 20_000;

    public static void main(String[] args) throws Exception {
        boolean digest = args[0].equals("digest");
        long wanted = Long.parseLong(args[3]);
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[1]);
        for (int at = 4; at < args.length; at++) {
            String[] pair = args[at].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        try (KafkaConsumer<byte[], byte[]> consumer =
                new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (PartitionInfo partition : consumer.partitionsFor(args[2])) {
                partitions.add(new TopicPartition(args[2], partition.partition()));
            }
            MessageDigest[] digests = new MessageDigest[partitions.size()];
            for (int at = 0; at < digests.length; at++) {
                digests[at] = MessageDigest.getInstance("SHA-256");
            }
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            long count = 0;
            long bytes = 0;
            long begun = System.nanoTime();
            long heard = begun;
            while (count < wanted) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofSeconds(1));
                long now = System.nanoTime();
                if (!records.isEmpty()) {
                    heard = now;
                } else if (now - heard > SILENCE_MS_MAX * 1_000_000) {
                    System.err.println("only " + count + " of " + wanted + " records");
                    System.exit(1);
                }
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    count++;
                    bytes += record.value() == null ? 0 : record.value().length;
                    if (digest) {
                        digests[record.partition()].update(encode(record));
                    }
                }
            }
            double seconds = (System.nanoTime() - begun) / 1e9;
            System.out.printf("{\"records\":%d,\"bytes\":%d,\"seconds\":%.3f}%n", count, bytes, seconds);
            for (int at = 0; digest && at < digests.length; at++) {
                System.out.println(at + " " + HexFormat.of().formatHex(digests[at].digest()));
            }
        }
    }

    private static byte[] encode(ConsumerRecord<byte[], byte[]> record) throws Exception {
        ByteArrayOutputStream encoded = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(encoded);
        out.writeLong(record.offset());
        write(out, record.key());
        write(out, record.value());
        for (Header header : record.headers()) {
            write(out, header.key().getBytes("UTF-8"));
            write(out, header.value());
        }
        return encoded.toByteArray();
    }

    private static void write(DataOutputStream out, byte[] bytes) throws Exception {
        out.writeInt(bytes == null ? -1 : bytes.length);
        if (bytes != null) {
            out.write(bytes);
        }
    }
}
