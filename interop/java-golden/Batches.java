import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;

import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.RecordBatch;

/**
 * Lets the Java client make batches and choose partitions, one line each, all bytes in hexadecimal, "-" for null:
 * "record" TIMESTAMP KEY VALUE NAME=VALUE..., then for these records "batch" CODEC PRODUCER-ID EPOCH and the batch; and
 * "partition" KEY COUNT and the partition. The values come from a seed: the output is always the same.
 */
public final class Batches {
    private record Item(long timestamp, byte[] key, byte[] value, Header[] headers) {}

    public static void main(String[] arguments) throws Exception {
        Random random = new Random(5);
        try (PrintStream out = new PrintStream(arguments[0], "UTF-8")) {
            for (int count : new int[] {1, 3, 12}) {
                List<Item> items = new ArrayList<>();
                for (int number = 0; number < count; number++) {
                    items.add(item(random, number));
                }
                items.forEach(item -> print(out, item));
                for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
                    batch(out, codec, items, -1, (short) -1);
                }
                batch(out, "none", items, 4_000_000_000L, (short) 7);
            }
            for (int size = 0; size < 24; size++) {
                byte[] key = bytes(random, size);
                for (int partitions : new int[] {1, 2, 3, 7, 12, 1000}) {
                    line(out, "partition", hex(key), partitions, BuiltInPartitioner.partitionForKey(key, partitions));
                }
            }
        }
    }

    private static Item item(Random random, int number) {
        Header[] headers = new Header[number % 3];
        for (int header = 0; header < headers.length; header++) {
            headers[header] = new RecordHeader("h" + header, header == 0 ? bytes(random, random.nextInt(5)) : null);
        }
        byte[] value = number % 7 == 3 ? null : "word ".repeat(random.nextInt(60)).getBytes();
        // Not in order, and once far apart.
        long timestamp = 1_700_000_000_000L + random.nextInt(2_000) - 1_000 + (number == 2 ? 1L << 40 : 0);
        return new Item(timestamp, number % 2 == 0 ? null : bytes(random, random.nextInt(200)), value, headers);
    }

    private static void print(PrintStream out, Item item) {
        StringBuilder headers = new StringBuilder();
        for (Header header : item.headers) {
            headers.append(' ').append(hex(header.key().getBytes())).append('=').append(hex(header.value()));
        }
        line(out, "record", item.timestamp, hex(item.key), hex(item.value) + headers);
    }

    private static void batch(PrintStream out, String codec, List<Item> items, long producer, short epoch) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), RecordBatch.CURRENT_MAGIC_VALUE,
            Compression.of(codec).build(), TimestampType.CREATE_TIME, 0L);
        for (Item item : items) {
            builder.append(item.timestamp, item.key, item.value, item.headers);
        }
        if (producer >= 0) {
            builder.setProducerState(producer, epoch, 0, false);
        }
        ByteBuffer batch = builder.build().buffer();
        byte[] bytes = new byte[batch.remaining()];
        batch.get(bytes);
        line(out, "batch", codec, producer, epoch, hex(bytes));
    }

    private static byte[] bytes(Random random, int size) {
        byte[] bytes = new byte[size];
        random.nextBytes(bytes);
        return bytes;
    }

    private static String hex(byte[] bytes) {
        return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
    }

    private static void line(PrintStream out, Object... words) {
        for (int word = 0; word < words.length; word++) {
            out.print((word == 0 ? "" : " ") + words[word]);
        }
        out.print("\n");
    }
}
