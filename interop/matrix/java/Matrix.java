import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Kafka's Java client of any version since 2.0; the commands are those of ../python/records.py. */
public class Matrix {
    // Lines are ours and simple: {"p": 0, "k": "6b", "v": null, "h": [["name", "00"]], "t": 17}
    private static final Pattern LINE =
        Pattern.compile("\\{\"p\": (\\d+), \"k\": (null|\"\\w*\"), \"v\": (null|\"\\w*\"), \"h\": \\[(.*)\\], \"t\": (\\d+)\\}");
    private static final Map<String, String> ASSIGNORS =
        Map.of("range", "RangeAssignor", "roundrobin", "RoundRobinAssignor", "cooperative", "CooperativeStickyAssignor");
    private static final Pattern HEADER = Pattern.compile("\\[\"([^\"]*)\", (null|\"\\w*\")\\]");

    public static void main(String[] words) throws Exception {
        switch (words[0]) {
            case "write" -> write(words[1], words[2], words[3], words[4].equals("idempotent"), Path.of(words[5]));
            case "read" -> read(words[1], words[2], Integer.parseInt(words[3]), Integer.parseInt(words[4]));
            case "times" -> times(words);
            case "member" -> member(words[1], words[2], words[3], words[4], words[5], words[6]);
            case "load" -> load(words[1], words[2], Integer.parseInt(words[3]), Integer.parseInt(words[4]));
            case "version" -> System.out.println(version());
            default -> throw new IllegalArgumentException("unknown command " + words[0]);
        }
    }

    private static String version() throws IOException {
        Properties properties = new Properties();
        try (var file = KafkaProducer.class.getResourceAsStream("/kafka/kafka-version.properties")) {
            properties.load(file);
        }
        return properties.getProperty("version");
    }

    private static void write(String address, String topic, String codec, boolean idempotent, Path path) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", address);
        settings.put("compression.type", codec);
        settings.put("enable.idempotence", String.valueOf(idempotent));
        settings.put("acks", "all");
        settings.put("linger.ms", "5");
        settings.put("max.request.size", "2500000");
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (String line : Files.readAllLines(path)) {
                Matcher it = LINE.matcher(line);
                if (!it.matches()) throw new IllegalArgumentException(line);
                List<Header> headers = new ArrayList<>();
                for (Matcher header = HEADER.matcher(it.group(4)); header.find();) {
                    headers.add(new RecordHeader(header.group(1), bytes(header.group(2))));
                }
                sent.add(producer.send(new ProducerRecord<>(
                    topic, Integer.valueOf(it.group(1)), Long.valueOf(it.group(5)), bytes(it.group(2)), bytes(it.group(3)), headers)));
            }
        }
        for (var one : sent) one.get();
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String address) {
        return consumer(address, Map.of());
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String address, Map<String, String> more) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", address);
        settings.put("enable.auto.commit", "false");
        settings.put("check.crcs", "true");
        settings.putAll(more);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private static void read(String address, String topic, int partitions, int count) {
        try (var consumer = consumer(address)) {
            List<TopicPartition> parts = new ArrayList<>();
            for (int index = 0; index < partitions; index++) parts.add(new TopicPartition(topic, index));
            consumer.assign(parts);
            consumer.seekToBeginning(parts);
            StringBuilder output = new StringBuilder();
            for (int seen = 0; seen < count;) {
                var records = consumer.poll(Duration.ofSeconds(20));
                if (records.isEmpty()) throw new IllegalStateException(seen + " of " + count + " records");
                for (ConsumerRecord<byte[], byte[]> it : records) {
                    show(output, it);
                    seen++;
                }
            }
            System.out.print(output);
        }
    }

    private static void show(StringBuilder output, ConsumerRecord<byte[], byte[]> it) {
        List<String> headers = new ArrayList<>();
        for (Header header : it.headers()) headers.add("[\"" + header.key() + "\", " + hex(header.value()) + "]");
        output.append("{\"p\": ").append(it.partition()).append(", \"o\": ").append(it.offset())
            .append(", \"k\": ").append(hex(it.key())).append(", \"v\": ").append(hex(it.value()))
            .append(", \"h\": [").append(String.join(", ", headers)).append("], \"t\": ").append(it.timestamp()).append("}\n");
    }

    private static void times(String[] words) {
        try (var consumer = consumer(words[1])) {
            TopicPartition part = new TopicPartition(words[2], 0);
            List<String> found = new ArrayList<>();
            for (int at = 3; at < words.length; at++) {
                Map<TopicPartition, Long> asked = new HashMap<>();
                asked.put(part, Long.valueOf(words[at]));
                OffsetAndTimestamp answer = consumer.offsetsForTimes(asked).get(part);
                found.add(answer == null ? "-1" : String.valueOf(answer.offset()));
            }
            System.out.println("[" + String.join(", ", found) + "]");
        }
    }

    /** Ends with 1 when a record is refused. */
    private static void load(String address, String topic, int partitions, int rate) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", address, "enable.idempotence", "true", "acks", "all");
        AtomicBoolean stopping = stopping();
        AtomicReference<Exception> refused = new AtomicReference<>();
        long[] sent = new long[partitions];
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            long begun = System.nanoTime();
            for (long count = 0; !stopping.get() && refused.get() == null; count++) {
                int partition = (int) (count % partitions);
                byte[] value = (partition + "-" + sent[partition]++).getBytes(StandardCharsets.US_ASCII);
                producer.send(new ProducerRecord<>(topic, partition, null, value), (it, failure) -> {
                    if (failure != null) refused.set(failure);
                    else tell("acknowledged " + it.partition() + " " + it.offset());
                });
                long aheadMs = count * 1000 / rate - (System.nanoTime() - begun) / 1_000_000;
                if (aheadMs > 0) Thread.sleep(aheadMs);
            }
        }
        if (refused.get() != null) throw refused.get();
        tell("sent " + Arrays.stream(sent).mapToObj(String::valueOf).collect(Collectors.joining(",")));
    }

    /** Whether SIGTERM has come; the machine ends when the calling thread has. */
    private static AtomicBoolean stopping() {
        AtomicBoolean stopping = new AtomicBoolean();
        Thread caller = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping.set(true);
            try {
                caller.join();
            } catch (InterruptedException interrupted) {
                caller.interrupt();
            }
        }));
        return stopping;
    }

    private static void member(String address, String topic, String group, String how, String sessionMs, String heartbeatMs) {
        AtomicBoolean leaving = stopping();
        tell("started");
        Map<String, String> settings = new HashMap<>(Map.of("group.id", group, "auto.offset.reset", "earliest"));
        if (how.equals("consumer")) {
            settings.put("group.protocol", "consumer");
        } else {
            settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + ASSIGNORS.get(how));
            settings.put("session.timeout.ms", sessionMs);
            settings.put("heartbeat.interval.ms", heartbeatMs);
        }
        try (var consumer = consumer(address, settings)) {
            consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                @Override
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    tell("assigned", partitions);
                }

                @Override
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    commit(consumer);
                    tell("revoked", partitions);
                }

                @Override
                public void onPartitionsLost(Collection<TopicPartition> partitions) {
                    tell("revoked", partitions);
                }
            });
            while (!leaving.get()) {
                var records = consumer.poll(Duration.ofMillis(100));
                for (var it : records) {
                    tell("record " + it.partition() + " " + it.offset() + " " + new String(it.value(), StandardCharsets.UTF_8));
                }
                if (!records.isEmpty()) commit(consumer);
            }
        }
    }

    private static void commit(KafkaConsumer<byte[], byte[]> consumer) {
        try {
            consumer.commitSync();
            tell("committed");
        } catch (RebalanceInProgressException later) {
            // It keeps its partitions meanwhile; those that it then gives up are committed before.
        }
    }

    private static void tell(String what, Collection<TopicPartition> partitions) {
        String list = partitions.stream().map(it -> String.valueOf(it.partition())).collect(Collectors.joining(","));
        if (!list.isEmpty()) tell(what + " " + list);
    }

    private static void tell(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private static byte[] bytes(String quoted) {
        if (quoted.equals("null")) return null;
        byte[] digits = quoted.substring(1, quoted.length() - 1).getBytes(StandardCharsets.US_ASCII);
        byte[] bytes = new byte[digits.length / 2];
        for (int at = 0; at < bytes.length; at++) {
            bytes[at] = (byte) (Character.digit(digits[2 * at], 16) << 4 | Character.digit(digits[2 * at + 1], 16));
        }
        return bytes;
    }

    private static String hex(byte[] bytes) {
        if (bytes == null) return "null";
        StringBuilder text = new StringBuilder("\"");
        for (byte one : bytes) text.append(Character.forDigit(one >> 4 & 15, 16)).append(Character.forDigit(one & 15, 16));
        return text.append('"').toString();
    }
}
