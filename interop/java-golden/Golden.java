import java.io.PrintStream;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ConsumerProtocolAssignment;
import org.apache.kafka.common.message.ConsumerProtocolSubscription;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.requests.RequestUtils;

/**
 * Lets the Java client write requests and responses of all keys and versions, with values that are not the defaults, one line each:
 * request or response, key, version, and the frame without its length in hexadecimal. The values come from a seed: the output is always
 * the same.
 */
public final class Golden {
    private final Random random;

    Golden(long seed) {
        random = new Random(seed);
    }

    public static void main(String[] arguments) throws Exception {
        try (PrintStream out = new PrintStream(arguments[0], "UTF-8")) {
            for (ApiKeys key : ApiKeys.values()) {
                // Removed APIs have a number and no versions.
                if (!key.hasValidVersion()) {
                    continue;
                }
                for (short version = key.messageType.lowestSupportedVersion(); version <= key.messageType.highestSupportedVersion(true); version++) {
                    for (int round = 0; round < 3; round++) {
                        write(out, key, version, round);
                    }
                }
            }
            for (short version = 0; version < ConsumerProtocolSubscription.SCHEMAS.length; version++) {
                data(out, new ConsumerProtocolSubscription(), ConsumerProtocolSubscription.SCHEMAS[version], version);
                data(out, new ConsumerProtocolAssignment(), ConsumerProtocolAssignment.SCHEMAS[version], version);
            }
        }
    }

    /** What members of a group tell one another: the version stands in front. */
    private static void data(PrintStream out, ApiMessage message, Schema schema, short version) throws Exception {
        new Golden(version).fill(message, schema);
        byte[] bytes = MessageUtil.toVersionPrefixedBytes(version, message);
        out.print(message.getClass().getSimpleName() + " - " + version + " " + HexFormat.of().formatHex(bytes) + "\n");
    }

    private static void write(PrintStream out, ApiKeys key, short version, int round) throws Exception {
        Golden values = new Golden(1000L * (1000L * round + key.id) + version);
        ApiMessage request = key.messageType.newRequest();
        values.fill(request, key.messageType.requestSchemas()[version]);
        RequestHeaderData requestHeader = new RequestHeaderData()
            .setRequestApiKey(key.id).setRequestApiVersion(version).setCorrelationId(values.random.nextInt())
            .setClientId(version % 3 == 0 ? null : "client-" + version);
        line(out, "request", key, version, RequestUtils.serialize(requestHeader, key.requestHeaderVersion(version), request, version));
        ApiMessage response = key.messageType.newResponse();
        values.fill(response, key.messageType.responseSchemas()[version]);
        ResponseHeaderData responseHeader = new ResponseHeaderData().setCorrelationId(values.random.nextInt());
        line(out, "response", key, version, RequestUtils.serialize(responseHeader, key.responseHeaderVersion(version), response, version));
    }

    private static void line(PrintStream out, String kind, ApiKeys key, short version, ByteBuffer frame) {
        byte[] bytes = new byte[frame.remaining()];
        frame.get(bytes);
        out.print(kind + " " + key.id + " " + version + " " + HexFormat.of().formatHex(bytes) + "\n");
    }

    /** Sets the fields that the schema of one version has. */
    void fill(Object message, Schema schema) throws Exception {
        Map<String, org.apache.kafka.common.protocol.types.Type> types = new TreeMap<>();
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                for (org.apache.kafka.common.protocol.types.Field field : tagged.fields().values()) {
                    types.put(plain(field.name), field.type);
                }
            } else {
                types.put(plain(bound.def.name), bound.def.type);
            }
        }
        for (Field field : message.getClass().getDeclaredFields()) {
            org.apache.kafka.common.protocol.types.Type type = types.remove(plain(field.getName()));
            if (Modifier.isStatic(field.getModifiers()) || type == null) {
                continue;
            }
            field.setAccessible(true);
            if (type.isNullable() && !field.getType().isPrimitive() && random.nextInt(4) == 0) {
                field.set(message, null);
            } else {
                field.set(message, value(field.getType(), field.getGenericType(), type));
            }
        }
        if (!types.isEmpty()) {
            throw new IllegalStateException(message.getClass() + " lacks " + types.keySet());
        }
    }

    private static String plain(String name) {
        return name.replace("_", "").toLowerCase();
    }

    private Object value(Class<?> type, Type generic, org.apache.kafka.common.protocol.types.Type schema) throws Exception {
        if (type == boolean.class) return random.nextBoolean();
        if (type == byte.class || type == Byte.class) return (byte) random.nextInt();
        if (type == short.class || type == Short.class) return (short) random.nextInt();
        if (type == int.class || type == Integer.class) {
            return schema == org.apache.kafka.common.protocol.types.Type.UINT16 ? random.nextInt(65536) : random.nextInt();
        }
        if (type == long.class || type == Long.class) return random.nextLong();
        if (type == double.class) return random.nextDouble();
        if (type == String.class) return text();
        if (type == Uuid.class) return new Uuid(random.nextLong(), random.nextLong());
        if (type == byte[].class) return bytes();
        if (type == ByteBuffer.class) return ByteBuffer.wrap(bytes());
        if (BaseRecords.class.isAssignableFrom(type)) return org.apache.kafka.common.record.internal.MemoryRecords.readableRecords(ByteBuffer.wrap(bytes()));
        if (Collection.class.isAssignableFrom(type)) {
            boolean isList = type == List.class;
            Type elements = isList ? generic : type.getGenericSuperclass();
            Class<?> element = (Class<?>) ((ParameterizedType) elements).getActualTypeArguments()[0];
            @SuppressWarnings("unchecked")
            Collection<Object> all = isList ? new ArrayList<>() : (Collection<Object>) type.getConstructor().newInstance();
            int count = 1 + (random.nextInt(4) == 0 ? 1 : 0);
            for (int index = 0; index < count; index++) {
                all.add(value(element, element, schema.arrayElementType().orElseThrow()));
            }
            return all;
        }
        Object nested = type.getConstructor().newInstance();
        fill(nested, (Schema) schema.arrayElementType().orElse(schema));
        return nested;
    }

    private String text() {
        StringBuilder text = new StringBuilder();
        for (int left = random.nextInt(8); 0 < left; left--) {
            text.append("abcXYZ019-_.ü日".charAt(random.nextInt(14)));
        }
        return text.toString();
    }

    /** Long ones too: their compact length takes two bytes. */
    private byte[] bytes() {
        byte[] bytes = new byte[random.nextInt(12) == 0 ? 130 : random.nextInt(8)];
        random.nextBytes(bytes);
        return bytes;
    }
}
